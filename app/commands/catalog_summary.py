"""What an import changes, as the command line shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tables.catalogue_diff import FieldChange
    from tables.catalogue_plan import ImportDiff

#: Characters of a value that a line shows.
_VALUE_MAX = 80


def json_of(diff: ImportDiff, dry_run: bool) -> str:
    """The diff as JSON, in the words of the HTTP API."""
    import msgspec

    from tables.catalogue_review import shown_diff
    from tables.catalogue_yaml import json_text

    return json_text(msgspec.to_builtins(shown_diff(diff, dry_run))).rstrip()


def summary_of(diff: ImportDiff, dry_run: bool) -> str:
    """The diff for people: an entity a line, the fields of an updated one below it, and the counts."""
    counts = (
        f"{len(diff.created)} created, {len(diff.updated)} updated, {len(diff.deleted)} deleted, "
        f"{len(diff.unchanged)} unchanged"
    )
    if dry_run:
        end = " (dry run: nothing was changed)"
    elif diff.version is None:
        end = " (nothing was written)"
    else:
        end = f", version {diff.version}"
    return "\n".join([*_lines(diff), f"{diff.tenant}: {counts}{end}"])


def _lines(diff: ImportDiff) -> Iterator[str]:
    for kind, entity_id in diff.created:
        yield f"  + {kind}[{entity_id}]"
    for one in diff.fields:
        yield f"  ~ {one.kind}[{one.id}]"
        for change in one.changes:
            yield f"      {change.path}: {_change(change)}"
    for kind, entity_id in diff.deleted:
        yield f"  - {kind}[{entity_id}]"


def _change(change: FieldChange) -> str:
    return f"{_value(change.before)} -> {_value(change.after)}"


def _value(value: Any) -> str:
    """A value as JSON, cut; `none` where there is none."""
    import msgspec

    if value is msgspec.UNSET:
        return "none"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _VALUE_MAX else text[:_VALUE_MAX] + "…"
