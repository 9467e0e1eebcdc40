"""Which fields, and which metrics, a condition tree reads, found without evaluating it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.decision.problems import join


def fields_read(tree: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field that a condition reads, in document order, with the path of the comparison that does.

    Args:
        tree: A condition tree; what is none in it is passed over. One that compiles is not too deep.
        path: Where the tree stands in its document.
    """
    stack: list[tuple[object, str]] = [(tree, path)]
    while stack:
        node, at = stack.pop()
        if not isinstance(node, dict):
            continue
        field = node.get("field")
        if isinstance(field, str):
            yield field, join(at, "field")
        stack.append((node.get("not"), join(at, "not")))
        for joint in ("any", "all"):
            members = node.get(joint)
            if isinstance(members, list):
                here = join(at, joint)
                stack.extend(
                    (member, join(here, f"[{i}]")) for i, member in reversed(list(enumerate(members)))
                )


def metric_references(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """The metrics among some fields that are read, as references.

    Args:
        fields: Field and path of the comparison, as `fields_read` gives them.
    """
    for field, path in fields:
        namespace, _, name = field.partition(".")
        if namespace == "metrics":
            yield path, name, "behavioral-metrics"
