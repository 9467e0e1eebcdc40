"""Consent as the fold writes it: outcomes revoke it, profile writes revoke and grant it.

Rules:

1.  `opt_out` and `complaint` revoke consent on the response's channel, else its creative's, else on all.
    A tenant's own outcome types do not, whatever they are called.
2.  Order is fold order: an outcome that is folded after a grant revokes, though it may have happened before.
    Reports come late, and who is not contacted in doubt is not wronged; a grant can always be written again.
3.  Only a grant lifts it: under the channel's id, key or type, or under `all`; what `all` revoked, only a
    grant of `all`. A profile cannot say who revoked a channel, an outcome or a write, so the customer's
    latest grant decides for both. No outcome revokes under a type or a purpose: those stay until they are
    written themselves. A profile write with `replace` forgets what it does not name, but not what is revoked.
4.  A revocation is never refused for the bound on consents: up to 200 more have their own names, past them
    consent on all is revoked. A profile write may not make more consents than 200 or than there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.consent import EVERY_CHANNEL, GRANTED, REVOKED
from app.decision.entities import Channel
from app.decision.profiles import CONSENTS_MAX
from app.decision.records import Target
from app.decision.state import Customer, Profile

#: System outcome types; tenants cannot have their own under these keys.
REVOKING_OUTCOMES = frozenset({"opt_out", "complaint"})


def revoke_for(customer: Customer, target: Target, tenant: TenantCatalogue, now_ms: int) -> None:
    """Revoke consent where a response that opts out belongs. A customer without a profile gets one."""
    profile = customer.profile or Profile()
    name = _channel_of(target, tenant)
    if name not in profile.consent and len(profile.consent) >= 2 * CONSENTS_MAX:
        name = EVERY_CHANNEL
    if profile.consent.get(name) == REVOKED:
        return
    consent = {**profile.consent, name: REVOKED}
    customer.profile = msgspec.structs.replace(profile, consent=consent, updated_ms=now_ms)
    customer.profile_changed = True


def written_consent(
    before: Mapping[str, str], write: Mapping[str, str], replace: bool, tenant: TenantCatalogue
) -> dict[str, str]:
    """The consents after a profile write.

    Args:
        before: as they are.
        write: what the write names.
        replace: whether it forgets what it does not name.
        tenant: knows which names are one channel's.
    """
    kept = {name: state for name, state in before.items() if state == REVOKED} if replace else before
    consent = {**kept, **write}
    granted = {name for name, state in write.items() if state == GRANTED}
    if granted and REVOKED in consent.values():
        for name in _covered(granted, tenant):
            if name not in write and consent.get(name) == REVOKED:
                del consent[name]
    return consent


def _covered(granted: Set[str], tenant: TenantCatalogue) -> Iterator[str]:
    """The ids and keys of the channels that grants under these names are about."""
    for channel in tenant.all("channels", Channel):
        if not granted.isdisjoint((channel.id, channel.key, channel.type, EVERY_CHANNEL)):
            yield channel.id
            if channel.key is not None:
                yield channel.key


def _channel_of(target: Target, tenant: TenantCatalogue) -> str:
    if target.channel_id:
        return target.channel_id
    creative = tenant.creative(target.creative_id)
    return EVERY_CHANNEL if creative is None else creative.channel_id
