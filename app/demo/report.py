"""What the demo prints: for people, with progress where a terminal shows it, readable from 40 columns on."""

from __future__ import annotations

import codecs
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from app.demo.funnel import Funnel
from app.demo.story import Cap, Loop, Shown, Totals

#: Below this width a table would break words; each row becomes two lines.
TABLE_WIDTH = 78
_NARROWEST = 20
_PLAIN = {"“": '"', "”": '"', "…": "...", "–": "-", "≥": ">=", "≤": "<=", "≠": "!="}


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    """Stands in for what the output's encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    lost = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in lost), error.end


codecs.register_error("offertide-plain", _in_plain)


class Report:
    """Lines, progress bars and the closing tables. With `to_stderr`, standard output stays free for JSON."""

    def __init__(self, to_stderr: bool) -> None:
        stream = sys.stderr if to_stderr else sys.stdout
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="offertide-plain")
        self._console = Console(file=stream, highlight=False)

    def say(self, text: str) -> None:
        """A line, wrapped between words in a terminal; its indentation is kept."""
        if not self._console.is_terminal:
            self._verbatim(text)
            return
        indent = " " * (len(text) - len(text.lstrip()))
        wrapped = textwrap.wrap(
            text.strip(),
            max(self._console.width, _NARROWEST),
            initial_indent=indent,
            subsequent_indent=f"{indent}  " if indent else "",
            break_on_hyphens=False,
        )
        self._verbatim("\n".join(wrapped))

    def stopped(self) -> None:
        """The last word; the terminal may be gone by now."""
        with suppress(OSError):
            self.say("Stopped.")

    def _verbatim(self, text: str) -> None:
        """Text that must not be broken: what a terminal breaks itself is still one line when copied."""
        self._console.print(text, markup=False, soft_wrap=True)

    def progress(self) -> Progress:
        """Bars for the purchases; nothing where no terminal would show them."""
        width = self._console.width
        columns: list[ProgressColumn] = [
            TextColumn("  {task.description}"),
            BarColumn(bar_width=max(4, min(40, width - 38))),
            MofNCompleteColumn(),
        ]
        if width >= 50:
            columns.append(TimeElapsedColumn())
        return Progress(*columns, console=self._console, disable=not self._console.is_terminal)

    def totals(self, totals: Totals, seconds: float, rekeyed: int) -> None:
        self.say(
            f"  {totals.purchases:,} purchases of {totals.customers:,} customers: {totals.cds:,} CDs, "
            f"${totals.amount:,.2f}, read back from their state over HTTP after {seconds:.1f} s."
        )
        self.say(f"  {rekeyed:,} of them lay on another partition than their customer's and were sent on.")

    def offers(self, shown: Sequence[Shown]) -> None:
        self.say("")
        self.say("What they see on the website now")
        if self._console.width < TABLE_WIDTH:
            for each in shown:
                self.say(f"  {each.customer_id} {each.name}: {each.offer} ({each.score:.2f})")
                bought = "1 purchase" if each.purchases == 1 else f"{each.purchases} purchases"
                self.say(f"    {bought}, ${each.spend_90d:,.2f} in 90 days")
        else:
            self._console.print(_table(shown))

    def cap(self, cap: Cap) -> None:
        self.say("")
        self.say(f"Customer {cap.customer_id} is asked for a push message until the daily cap closes.")
        self.say(f"  Offers delivered: {' '.join(str(count) for count in cap.delivered)}. The last answer:")
        self._funnel(cap.funnel)

    def loop(self, loop: Loop) -> None:
        self.say("")
        self.say(f"Customer {loop.customer_id} {loop.name} opens the website. How that was decided:")
        self._funnel(loop.funnel)
        self.say(f"  {loop.name} clicks “{loop.offer}”, and respond has answered. Asked again at once:")
        self.say(f"    Clicks in 30 days were {loop.clicks_before} and are {loop.clicks_after}.")
        if loop.moved is None:
            self.say("    The next recommend ranks as before: an earlier click counted already.")
            return
        offer, old, new = loop.moved
        place = f"at place {new.rank}" if old.rank == new.rank else f"from place {old.rank} to {new.rank}"
        self.say(
            f"    The next recommend sees the click: “{offer}” scores {new.score:.2f} instead of "
            f"{old.score:.2f}, {place}."
        )

    def _funnel(self, funnel: Funnel) -> None:
        for count, step, reasons in (
            (funnel.candidates, "candidates", []),
            (funnel.qualified, "after qualification", funnel.not_qualified),
            (funnel.contactable, "after contact policy", funnel.not_contactable),
            (funnel.delivered, "delivered", funnel.not_ranked),
        ):
            self.say(f"    {count} {step}")
            for reason in reasons:
                self.say(f"        {reason}")

    def open_server(self, url: str, tenant_id: str, customer_id: str) -> None:
        body = f'{{"customerId": "{customer_id}", "channel": "web", "limit": 3, "trace": true}}'
        self.say("")
        self.say(f"The server is open at {url}; stop it with Ctrl-C. Try:")
        self.say("")
        self._verbatim(f"curl -s {url}/api/v1/recommend -H 'X-Tenant-Id: {tenant_id}' \\")
        self._verbatim("     -H 'Content-Type: application/json' \\")
        self._verbatim(f"     -d '{body}'")
        self.say("")


def _table(shown: Sequence[Shown]) -> Table:
    table = Table()
    for column in ("customer", "purchases", "90 days", "offer", "score"):
        right = column not in ("customer", "offer")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for each in shown:
        table.add_row(
            f"{each.customer_id} {each.name}",
            str(each.purchases),
            f"${each.spend_90d:,.2f}",
            f"{each.offer}\n[dim]{each.headline}[/dim]" if each.headline else each.offer,
            f"{each.score:.2f}",
        )
    return table
