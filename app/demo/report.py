"""What the demo prints: for people, with progress where a terminal shows it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.demo.story import Cap, Loop, Shown, Totals


class Report:
    """Lines, progress bars and the closing tables. With `to_stderr`, standard output stays free for JSON."""

    def __init__(self, to_stderr: bool) -> None:
        self._console = Console(file=sys.stderr if to_stderr else sys.stdout, highlight=False)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def progress(self) -> Progress:
        """Bars for the purchases; nothing where no terminal would show them."""
        return Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def totals(self, totals: Totals, seconds: float, rekeyed: int) -> None:
        self.say(
            f"  {totals.purchases:,} purchases of {totals.customers:,} customers: {totals.cds:,} CDs, "
            f"${totals.amount:,.2f}, read back from their state over HTTP after {seconds:.1f} s."
        )
        self.say(f"  {rekeyed:,} of them lay on another partition than their customer's and were sent on.")

    def offers(self, shown: Sequence[Shown]) -> None:
        table = Table(title="What they see on the website now", title_justify="left")
        for column, justify in (
            ("customer", "left"), ("purchases", "right"), ("90 days", "right"), ("offer", "left"),
            ("score", "right"),
        ):  # fmt: skip
            table.add_column(column, justify="right" if justify == "right" else "left", overflow="fold")
        for each in shown:
            table.add_row(
                f"{each.customer_id} {each.name}",
                str(each.purchases),
                f"${each.spend_90d:,.2f}",
                f"{each.offer}\n[dim]{each.headline}[/dim]" if each.headline else each.offer,
                f"{each.score:.2f}",
            )
        self._console.print(table)

    def cap(self, cap: Cap, reasons: Sequence[str]) -> None:
        delivered = sum(cap.delivered)
        self.say(f"Customer {cap.customer_id} is asked for a push message until the daily cap closes:")
        self.say(f"  offers delivered: {' '.join(str(count) for count in cap.delivered)}")
        self.say(f"  after {delivered} the cap is closed ({cap.reason}). The trace says for each offer why:")
        for reason in reasons[:3]:
            self.say(f"    {reason}")
        if len(reasons) > 3:
            self.say(f"    … and {len(reasons) - 3} more")

    def loop(self, loop: Loop) -> None:
        self.say(
            f"Customer {loop.customer_id} clicks “{loop.offer}”: clicks in 30 days were "
            f"{loop.clicks_before}, and right after respond answered they are {loop.clicks_after}."
        )

    def open_server(self, url: str, tenant_id: str, customer_id: str) -> None:
        self.say("")
        self.say(f"The server is open at {url}; stop it with Ctrl-C. Try:")
        self.say("")
        self.say(f"curl -s {url}/api/v1/recommend -H 'X-Tenant-Id: {tenant_id}' \\")
        self.say("     -H 'Content-Type: application/json' \\")
        body = f'{{"customerId": "{customer_id}", "channel": "web", "limit": 3, "trace": true}}'
        self.say(f"     -d '{body}'")
        self.say("")
