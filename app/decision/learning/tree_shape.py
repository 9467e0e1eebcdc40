"""The shape of a decision tree that a document describes, checked before a library follows it.

Rules of this module:

1.  The libraries trust their files: a child index out of range, or two nodes that are each other's child,
    ends or hangs the whole process. So every tree is walked here first, and only what is a tree goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Of one model: nodes of all its trees, and trees.
NODES_MAX = 1_000_000
TREES_MAX = 10_000


class BrokenTree(Exception):
    """A model's document is wrong; the message says where, for its author."""


def walk(nodes: int, children: Callable[[int], Sequence[int]]) -> bytearray:
    """Follows a tree from node 0; for each node 1 when it belongs to the tree, else 0.

    Args:
        nodes: How many there are.
        children: Of a node; none for a leaf.

    Raises:
        BrokenTree: a child is no node, or is reached twice.
    """
    seen = bytearray(nodes)
    waiting = [0]
    while waiting:
        node = waiting.pop()
        if not 0 <= node < nodes:
            raise BrokenTree(f"node {node} is not one of {nodes} nodes")
        if seen[node]:
            raise BrokenTree(f"node {node} is reached twice")
        seen[node] = 1
        waiting.extend(children(node))
    return seen


def require(holds: bool, message: str) -> None:
    """Nothing when it holds.

    Raises:
        BrokenTree: it does not.
    """
    if not holds:
        raise BrokenTree(message)
