"""The page ``docs/settings.md``, which ``python -m config.settings_page`` prints."""

from __future__ import annotations

import sys

from config.settings import settings_table


def settings_page() -> str:
    """The Markdown page that lists every setting."""
    rows = "".join(
        f"| `{one.name}` | {f'`{one.default}`' if one.default else 'not set'} | {one.unit or '–'} "
        f"| {one.allowed.replace('|', '&#124;')} | {one.description} |\n"
        for one in settings_table()
    )
    return (
        "# Settings\n\n"
        "<!-- From config/settings.py, by `python -m config.settings_page > docs/settings.md`. -->\n\n"
        "A worker reads its settings once, at its start, from these environment variables. An empty\n"
        "variable counts as not set. A wrong or unknown `OFFERTIDE_*` variable stops the start with one\n"
        "message that names all of them. Secrets never appear in logs or messages.\n\n"
        "| variable | default | unit | allowed | what it does |\n|---|---|---|---|---|\n" + rows
    )


if __name__ == "__main__":
    sys.stdout.write(settings_page())
