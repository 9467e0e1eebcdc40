"""Adding a contact: the newest are kept one by one, older ones become totals.

Rules:

1.  The log keeps the last 2,000 contacts or those of 400 days, whichever is less, and up to one segment more;
    it lets go of whole segments, oldest fold first. What goes becomes totals, so no contact is ever lost.
2.  Contacts are in fold order. Once the log is full, a contact that happened before the newest one of its
    front segment becomes a total at once: a flood of late reports must not push newer contacts out.
3.  So whatever happened after the last of the totals is in the log, one by one: windows that begin there are
    exact. With contacts reported in time that is at least the last 2,000, or 400 days.
4.  A contact rewrites one segment of the log; it lets one segment go at most every 32 contacts.
"""

from __future__ import annotations

from app.decision.contacts.totals import add_to_totals
from app.decision.log import Log
from app.decision.state import CONTACT_MAX, CONTACT_WINDOW_MS, Contact, Customer


def add_contact(customer: Customer, contact: Contact, now_ms: int) -> None:
    """Count a contact.

    Args:
        customer: owned by this fold.
        contact: happened at any time, in any order.
        now_ms: the fold's time, epoch ms; contacts 400 days before it may become totals.
    """
    log = customer.contacts
    if len(log) >= CONTACT_MAX and contact.at_ms < _front_end_ms(log):
        add_to_totals(customer, [contact], now_ms)
        return
    log.append(contact)
    horizon_ms = now_ms - CONTACT_WINDOW_MS
    gone = log.trim(CONTACT_MAX, lambda entry: entry.at_ms < horizon_ms)
    if gone:
        add_to_totals(customer, gone, now_ms)


def _front_end_ms(log: Log[Contact]) -> int:
    """When the newest contact of the segment that goes next was."""
    return max(contact.at_ms for contact in log.entries[: log.size])
