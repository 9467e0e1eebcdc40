"""The command `offertide`. Each group of commands is loaded when it is used, so that help comes at once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

#: By name: where the command is, and what it does in one line (help reads it without loading the command).
COMMANDS: Mapping[str, tuple[str, str]] = {
    "audit": ("app.commands.audit:audit", "Check and export who changed what."),
    "catalog": ("app.commands.catalog:catalog", "Import, compare and export a tenant's catalogue."),
    "customers": ("app.commands.customers:customers", "Load a file of customers."),
    "demo": ("app.commands.demo:demo", "Run a broker and a worker here, with sample customers."),
    "formula": ("app.commands.formula:formula", "Try out formulas of computed fields and expressions."),
    "keys": ("app.commands.keys:keys", "Make, list, rotate and revoke API keys."),
    "worker": ("app.commands.worker:worker", "Run one worker, or several, until SIGTERM."),
}


class LazyGroup(click.Group):
    """A group whose commands are found in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="offertide", message="offertide %(version)s")
def main() -> None:
    """Offertide decides which offer each customer should see next.

    \b
    Settings come from OFFERTIDE_* environment variables; docs/settings.md lists them.

    \b
    Examples:
      offertide demo
      offertide keys create --tenant demo --role admin
      offertide worker --workers 4
      offertide catalog import config/samples/music-shop.yaml
      offertide customers load customers.csv --dry-run
      offertide audit verify --tenant demo
      offertide formula check 'customer.age >= 18' --set customer.age=40
    """


if __name__ == "__main__":
    main()
