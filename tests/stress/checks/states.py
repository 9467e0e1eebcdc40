"""The state at the end is what the topics say, whoever holds it.

Rules:

1.  What HTTP answers of each customer, when all was folded, and again from a worker that had an empty folder,
    is the topics folded by other code.
2.  Every store on every disk, wherever its worker was stopped, is the changelog up to the offset it says.
3.  Contacts by offer are read from the stores that are level with the changelog's last batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tables.layout import split_customer_key
from tests.stress.evidence import Evidence, Findings, Store
from tests.stress.refolding import Contact, Customer, Refolded

_SEGMENT_BYTES = 4


def final_states(evidence: Evidence, refolded: Refolded) -> Findings:
    """HTTP's answers against the topics."""
    findings = Findings("final states")
    expected = {split_customer_key(key)[1]: customer for key, customer in refolded.customers.items()}
    for name, states in (("final", evidence.states), ("rebuilt", evidence.rebuilt_states)):
        for customer in sorted(expected.keys() | states.keys()):
            findings.saw(f"{name} customers")
            state, wanted = states.get(customer), expected.get(customer, Customer())
            if state is None:
                findings.broken(f"{customer}: no {name} state was answered")
                continue
            for what, was, should in _differences(state, wanted):
                findings.broken(f"{customer}: {name} {what} is {was}, by the topics {should}")
    for wanted in expected.values():
        findings.saw("purchases", wanted.purchases)
        findings.saw("clicks", wanted.clicks)
        findings.saw("contacts", wanted.contacts.total())
    return findings


def _differences(state: Mapping[str, Any], wanted: Customer) -> Iterable[tuple[str, Any, Any]]:
    by_channel: Counter[str] = Counter()
    for (channel, _), count in wanted.contacts.items():
        by_channel[channel] += count
    pairs = (
        ("purchases", state["metrics"]["purchases"], wanted.purchases),
        ("spend", state["metrics"]["spend"], wanted.spend),
        ("clicks", state["metrics"]["clicks"], wanted.clicks),
        ("attributes", state["attributes"], wanted.attributes),
        ("contacts", state["contacts"]["byChannel"], dict(by_channel)),
    )
    return ((what, was, should) for what, was, should in pairs if was != should)


def stores(evidence: Evidence, refolded: Refolded) -> Findings:
    """Files against the changelog, and contacts by offer."""
    findings = Findings("stores")
    for store in evidence.stores:
        if store.offset < 0:
            findings.saw("empty stores")
            continue
        findings.saw("stores")
        if store.expected is None:
            findings.broken(f"{store.name} says offset {store.offset}, which its changelog does not have")
            continue
        findings.saw("values", len(store.expected))
        wrong = [
            (key, store.values.get(key), store.expected.get(key))
            for key in sorted(store.values.keys() | store.expected.keys())
            if store.values.get(key) != store.expected.get(key)
        ]
        if wrong:
            findings.broken(
                f"{store.name} at {store.offset}: {len(wrong)} of {len(store.expected)} values differ",
                *wrong[:5],
            )
        last = max((step.offset for step in evidence.steps.get(store.partition, ())), default=-1)
        if store.offset == last:
            findings.saw("level stores")
            _contacts(evidence, store, refolded, findings)
    return findings


def _contacts(evidence: Evidence, store: Store, refolded: Refolded, findings: Findings) -> None:
    found: dict[bytes, Counter[Contact]] = {}
    for key, value in store.values.items():
        if key[:1] == b"C":
            contacts = found.setdefault(key[1:-_SEGMENT_BYTES], Counter())
            # A version byte, then arrays: at_ms, offer, creative, channel, ...
            for _, offer, _, channel, *_ in msgspec.msgpack.decode(value[1:]):
                contacts[channel, offer] += 1
    for customer, contacts in found.items():
        findings.saw("customers' contacts by offer")
        wanted = refolded.customers.get(customer, Customer()).contacts
        if contacts != wanted:
            findings.broken(
                f"{store.name}: contacts of {customer!r} are {dict(contacts)}, by the topics {dict(wanted)}"
            )
