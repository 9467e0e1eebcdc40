"""The month's decisions of a tenant as all workers count them before they decide, in Redis.

Rules:

1.  One script looks and counts: of two workers that ask for the last decision one gets it.
2.  It never holds less than what the asking worker knows of: a Redis that lost its data goes on from there.
3.  It may hold too much, by what was counted and not given back because a worker or Redis stopped in between.
4.  A month's key goes a day after the month.
5.  Redis has both scripts before it is asked by calls: else the first burst would have to load them all at
    once, be late, and be counted by each worker alone.
"""

from __future__ import annotations

from app.decision.months import month_ends_ms, month_name
from web.redis_link import RedisLink

_DAY_MS = 86_400_000

#: Says whether one more was counted, and how many there are now.
_TAKE = """
local used = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1]))
if used >= tonumber(ARGV[2]) then return {0, used} end
redis.call('SET', KEYS[1], string.format('%.0f', used + 1))
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return {1, used + 1}
"""

_GIVE_BACK = """
if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then redis.call('DECR', KEYS[1]) end
return 1
"""


class QuotaCounter:
    """Counts in Redis.

    Args:
        link: the way there.
        app_id: what the keys begin with.
    """

    def __init__(self, link: RedisLink, app_id: str) -> None:
        self._link = link
        self._app_id = app_id
        self._take = link.client.register_script(_TAKE)
        self._give_back = link.client.register_script(_GIVE_BACK)
        link.check_with(self._check)

    async def _check(self) -> None:
        # Counted until 1970, which is to say that nothing stays.
        probe = f"{self._app_id}:quota-probe"
        await self._take([probe], [0, 1, 1])
        await self._give_back([probe])

    async def take(self, tenant_id: str, month: int, known: int, limit: int) -> bool:
        """Count one more decision of a month, if the limit allows it.

        Args:
            known: how many this worker knows of.

        Raises:
            RedisAwayError: Redis does not say; it may have counted.
        """
        arguments = [known, limit, month_ends_ms(month) + _DAY_MS]
        taken, _ = await self._link.ask(lambda: self._take([self._key(tenant_id, month)], arguments))
        return bool(taken)

    async def give_back(self, tenant_id: str, month: int) -> None:
        """One that was counted was not made.

        Raises:
            RedisAwayError: Redis does not say; it may count one too many until the month ends.
        """
        await self._link.ask(lambda: self._give_back([self._key(tenant_id, month)]))

    def _key(self, tenant_id: str, month: int) -> str:
        return f"{self._app_id}:quota:{tenant_id}:{month_name(month)}"
