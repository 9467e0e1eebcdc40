"""What counted already: the customer's idempotency keys, for 7 days or the last 1,000, whichever is less.

Recommend's keys are kept apart, with the answers they stand for (`tables.answers`).
"""

from __future__ import annotations

from app.decision.ids import stable_hash
from app.decision.state import SEEN_MAX, SEEN_WINDOW_MS, Customer, Seen


def answer_hash(tenant_id: str, customer_id: str, key: str) -> int:
    """The scope of recommend's idempotency keys: tenant, customer and the key itself. 64 bits."""
    return stable_hash("recommend", tenant_id, customer_id, key)


def seen_entry(customer: Customer, key_hash: int, now_ms: int) -> Seen | None:
    """The remembered idempotency key with this hash, when it is among the last 1,000 and 7 days."""
    if customer.seen_index is None:
        customer.seen_index = {entry.key_hash: entry for entry in customer.seen.entries[-SEEN_MAX:]}
    entry = customer.seen_index.get(key_hash)
    if entry is None or entry.at_ms <= now_ms - SEEN_WINDOW_MS:
        return None
    return entry


def remember(customer: Customer, entry: Seen) -> None:
    """Keep a key that counted; the oldest go."""
    seen = customer.seen
    seen.append(entry)
    index = customer.seen_index
    if index is not None:
        index[entry.key_hash] = entry
        if len(seen) > SEEN_MAX:
            oldest = seen.entries[-SEEN_MAX - 1]
            if index.get(oldest.key_hash) is oldest:
                del index[oldest.key_hash]
    horizon = entry.at_ms - SEEN_WINDOW_MS
    seen.trim(SEEN_MAX, lambda old: old.at_ms <= horizon)
