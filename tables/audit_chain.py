"""Following tenants' audit entries in order, so that a change or a gap shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tables.audit_records import GENESIS, BrokenEntryError, ChainHead, decode_entry


class Chain:
    """One tenant's chain as far as it was read."""

    __slots__ = ("breaks", "head", "last_break", "problem")

    def __init__(self) -> None:
        self.head = GENESIS
        #: Why the chain does not hold, at its first break; None while it does.
        self.problem: str | None = None
        #: How many breaks there were.
        self.breaks = 0
        self.last_break = ""

    def follow(self, entry: Mapping[str, Any]) -> None:
        """Take in the next entry; its own hash was checked."""
        sequence, due = entry["sequence"], self.head.sequence + 1
        if sequence != due:
            self.broken(f"entry {due} should follow, and entry {sequence} does")
        elif entry.get("previous") != self.head.hash:
            self.broken(f"entry {sequence} does not follow the entry {self.head.sequence} that is there")
        self.head = ChainHead(sequence, entry["hash"])

    def broken(self, why: str) -> None:
        """Note a break; reading goes on behind it."""
        self.breaks += 1
        self.last_break = why
        self.problem = self.problem or why

    def fault(self, head: ChainHead) -> str | None:
        """Why this chain is not the one with that head, which the catalogue's marker names; None if it is.

        A chain that goes on behind it is one.
        """
        if self.problem is not None:
            return self.problem
        if self.head.sequence < head.sequence:
            return f"the entries after {self.head.sequence} are missing, up to {head.sequence}"
        if self.head.sequence == head.sequence and self.head.hash != head.hash:
            return f"entry {head.sequence} is not the one that was written"
        return None


class Chains:
    """Every tenant's chain."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}
        #: The tenant and the break that the last record showed.
        self.newly_broken: str | None = None

    def of(self, tenant_id: str) -> Chain:
        """A tenant's chain; an empty one for an unknown tenant."""
        return self._chains.get(tenant_id) or Chain()

    def __iter__(self) -> Iterator[tuple[str, Chain]]:
        return iter(sorted(self._chains.items()))

    def __getitem__(self, tenant_id: str) -> Chain:
        return self._chains[tenant_id]

    def take(self, key: bytes | None, value: bytes | None) -> tuple[str, dict[str, Any] | None]:
        """The tenant and the entry of the next record; no entry where there is none to be read."""
        tenant_id = (key or b"").decode(errors="replace")
        chain = self._chains.setdefault(tenant_id, Chain())
        before = chain.breaks
        try:
            return tenant_id, self._checked(tenant_id, chain, value)
        finally:
            self.newly_broken = f"{tenant_id}: {chain.last_break}" if chain.breaks > before else None

    def _checked(self, tenant_id: str, chain: Chain, value: bytes | None) -> dict[str, Any] | None:
        try:
            entry = decode_entry(value)
        except BrokenEntryError as error:
            chain.broken(str(error))
            return None
        if entry.get("tenant") != tenant_id:
            chain.broken(f"entry {entry['sequence']} is another tenant's")
        chain.follow(entry)
        return entry

    @property
    def problem(self) -> str | None:
        """What is wrong with which tenants, in one line; None when all chains hold."""
        found = [f"{name}: {chain.problem}" for name, chain in self if chain.problem]
        return "; ".join(found) or None
