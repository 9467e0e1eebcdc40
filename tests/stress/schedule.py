"""Which faults happen when: from a seed, and from nothing else.

Rules:

1.  The same seed, length, workers, nodes and kinds give the same schedule. The seed that is printed is all
    that is needed to see it again; what the system does meanwhile is its own.
2.  A target has one fault at a time. One worker and one node at most are out at the same time, now and then
    two workers; with three nodes never two nodes.
3.  Every third gap or so is long enough to be quiet: no fault for QUIET_S seconds and more.
4.  The last fault ends TAIL_S seconds before the end: then everything is healed.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

#: No fault for so long, in seconds, is a quiet phase, in which requests must succeed.
QUIET_S = 15.0

#: Nothing happens in the first and the last seconds of a run.
HEAD_S = 8.0
TAIL_S = 6.0

#: A worker's session time-out in the harness, in seconds.
SESSION_S = 6.0

#: How often each kind comes, and its length in seconds, least and most.
_WORKER_KINDS: dict[str, tuple[int, float, float]] = {
    "kill": (4, 0.0, 5.0),
    "wipe": (2, 0.0, 3.0),
    "freeze": (4, SESSION_S + 2, 15.0),
    "pause": (2, 0.3, 3.0),
    "storm": (2, 0.0, 0.0),
    "refuse": (3, 3.0, 15.0),
    "swallow": (3, 3.0, 15.0),
    "stall": (3, 3.0, 15.0),
    "mute": (3, 3.0, 15.0),
    "disk-full": (2, 3.0, 10.0),
    "disk-slow": (2, 5.0, 12.0),
}
_NODE_KINDS: dict[str, tuple[int, float, float]] = {
    "node-kill": (3, 0.0, 10.0),
    "node-restart": (2, 0.0, 2.0),
}
#: With one node everything waits for it.
_LONE_NODE_OUT_S = 2.0

KINDS = (*_WORKER_KINDS, *_NODE_KINDS)
NODE_KINDS = tuple(_NODE_KINDS)
DISK_KINDS = ("disk-full", "disk-slow")


@dataclass(frozen=True)
class Fault:
    """One fault: when (seconds after the start), what, to whom, how long (seconds), and how much.

    `target` is a worker's number from 0 or a node's from 1; `amount` the restarts of a storm, or the
    milliseconds that each write waits on a slow disk.
    """

    at_s: float
    kind: str
    target: int
    lasts_s: float
    amount: int = 0

    @property
    def who(self) -> str:
        """The target as people call it."""
        return f"node {self.target}" if self.kind in _NODE_KINDS else f"worker {self.target}"

    def __str__(self) -> str:
        extra = {"storm": f"  {self.amount} times", "disk-slow": f"  {self.amount} ms a write"}
        return (
            f"{self.at_s:6.1f} s  {self.kind:<12} {self.who}  {self.lasts_s:4.1f} s{extra.get(self.kind, '')}"
        )


def plan(
    seed: int, minutes: float, workers: int, nodes: int, kinds: Collection[str] = KINDS
) -> tuple[Fault, ...]:
    """The faults of a run, in the order in which they begin.

    Raises:
        ValueError: a kind is not known.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise ValueError(f"unknown faults {', '.join(sorted(unknown))}; known are {', '.join(KINDS)}")
    end_s = minutes * 60 - TAIL_S
    return tuple(fault for fault in _faults(random.Random(seed), end_s, workers, nodes, set(kinds)))


def _faults(dice: random.Random, end_s: float, workers: int, nodes: int, kinds: set[str]) -> Iterator[Fault]:
    menu = [
        (kind, weight) for kind, (weight, _, _) in {**_WORKER_KINDS, **_NODE_KINDS}.items() if kind in kinds
    ]
    at_s = HEAD_S
    while menu:
        fault = _fault(dice, at_s, _pick(dice, menu), workers, nodes)
        if at_s + fault.lasts_s > end_s:
            return
        yield fault
        if dice.random() < 0.25:
            beside = _beside(dice, fault, menu, workers, nodes, end_s)
            if beside is not None:
                yield beside
                fault = max(fault, beside, key=lambda one: one.at_s + one.lasts_s)
        # A worker needs a few seconds to start and take its partitions; not always does it get them.
        gap_s = dice.uniform(QUIET_S + 3, QUIET_S + 8) if dice.random() < 0.3 else dice.uniform(1.5, 8.0)
        at_s = round(fault.at_s + fault.lasts_s + 3.0 * fault.amount * (fault.kind == "storm") + gap_s, 1)


def _pick(dice: random.Random, menu: list[tuple[str, int]]) -> str:
    return dice.choices([kind for kind, _ in menu], [weight for _, weight in menu])[0]


def _fault(dice: random.Random, at_s: float, kind: str, workers: int, nodes: int) -> Fault:
    if kind in _NODE_KINDS:
        _, least, most = _NODE_KINDS[kind]
        most = min(most, _LONE_NODE_OUT_S) if nodes == 1 else most
        return Fault(at_s, kind, dice.randint(1, nodes), round(dice.uniform(least, most), 1))
    _, least, most = _WORKER_KINDS[kind]
    amount = 0
    if kind == "storm":
        amount = dice.randint(2, 4)
    elif kind == "disk-slow":
        amount = dice.choice((5, 20, 80))
    return Fault(at_s, kind, dice.randrange(workers), round(dice.uniform(least, most), 1), amount)


def _beside(
    dice: random.Random, first: Fault, menu: list[tuple[str, int]], workers: int, nodes: int, end_s: float
) -> Fault | None:
    """A second fault while the first lasts: of another worker, or of a node beside a worker's."""
    at_s = round(first.at_s + dice.uniform(0.0, max(first.lasts_s, 1.0)), 1)
    second = _fault(dice, at_s, _pick(dice, menu), workers, nodes)
    both_nodes = second.kind in _NODE_KINDS and first.kind in _NODE_KINDS
    same = (second.kind in _NODE_KINDS) == (first.kind in _NODE_KINDS) and second.target == first.target
    return None if both_nodes or same or at_s + second.lasts_s > end_s else second
