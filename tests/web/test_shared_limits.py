"""Rates that workers share: exact while Redis answers, each its own window while it does not, and back."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.child import free_ports
from app.decision.tiers import Rate
from config.metrics import new_metrics
from config.settings import Settings
from tests.redis_server import RedisServer, certificate_in
from tests.worker.harness import eventually
from web import redis_link
from web.errors import ApiError
from web.limits import Limits
from web.redis_link import AT_ONCE, RedisAwayError, RedisLink

RATE = Rate("calls", 100)

#: How late Redis may be here: a busy machine is not Redis being away.
PATIENT_MS = 3_000


class Counting:
    """A worker's limits, and what became of the calls."""

    def __init__(
        self, url: str, window_s: int = 60, app_id: str = "limits-test", late_ms: int = PATIENT_MS
    ) -> None:
        self.metrics = new_metrics()
        names = {"REDIS_URL": url, "APP_ID": app_id, "REDIS_TIMEOUT_MS": str(late_ms)}
        settings = Settings.from_env({f"OFFERTIDE_{name}": value for name, value in names.items()})
        self.limits = Limits(settings, self.metrics, window_s)

    async def admitted(self, tenant_id: str, rate: Rate = RATE) -> bool:
        try:
            await self.limits.admit(tenant_id, rate)
        except ApiError as error:
            refused = error
        else:
            return True
        assert (refused.status, refused.code) == (429, "RATE_LIMITED")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        return False

    async def many(self, tenant_id: str, calls: int, rate: Rate = RATE) -> int:
        """How many of so many calls at once are admitted."""
        return sum(await asyncio.gather(*(self.admitted(tenant_id, rate) for _ in range(calls))))

    def fallbacks(self, reason: str | None = None) -> float:
        samples = [one for family in self.metrics.redis_fallbacks_total.collect() for one in family.samples]
        return sum(one.value for one in samples if reason in (None, one.labels["reason"]))

    async def up(self) -> None:
        await eventually(self._is_up, 20, "Redis is asked")

    async def _is_up(self) -> bool:
        assert self.limits.link is not None
        return self.limits.link.up


@asynccontextmanager
async def counting(*urls: str, **options: Any) -> AsyncIterator[list[Counting]]:
    """Workers' limits on these, started; those are asked that can be."""
    workers = [Counting(url, **options) for url in urls]
    for worker in workers:
        worker.limits.start()
    try:
        yield workers
    finally:
        for worker in workers:
            await worker.limits.stop()


async def exactly(workers: list[Counting], calls: int, expected: int) -> None:
    """Of so many calls at each worker at once, so many are admitted in all."""
    before = [worker.fallbacks() for worker in workers]
    found = await asyncio.gather(*(worker.many("t", calls) for worker in workers))
    assert [worker.fallbacks() for worker in workers] == before
    assert sum(found) == expected


@pytest.fixture(autouse=True)
def _patient_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker on a busy machine waits for its turn at Redis as long as it takes."""
    monkeypatch.setattr(redis_link, "TURN_S", 30.0)


@pytest.fixture
def redis(tmp_path: Path) -> Any:
    with RedisServer(tmp_path) as server:
        yield server


async def test_two_workers_admit_exactly_the_rate_together(redis: RedisServer) -> None:
    async with counting(redis.url, redis.url) as workers:
        for worker in workers:
            await worker.up()
        await exactly(workers, 150, 100)


async def test_an_application_has_windows_of_its_own(redis: RedisServer) -> None:
    one, other = Counting(redis.url, app_id="one"), Counting(redis.url, app_id="other")
    for worker in (one, other):
        worker.limits.start()
        await worker.up()
        assert await worker.many("t", 101) == 100
        await worker.limits.stop()


async def test_the_shared_window_moves(redis: RedisServer) -> None:
    rate = Rate("calls", 3)
    async with counting(redis.url, redis.url, window_s=2) as (one, two):
        await one.up()
        await two.up()
        began_s = time.monotonic()
        assert await one.many("t", 3, rate) == 3
        admitted_too = await two.admitted("t", rate)
        assert not admitted_too or time.monotonic() - began_s > 2

        async def admitted() -> bool:
            return await two.admitted("t", rate)

        await eventually(admitted, 10, "room in the window", 0.02)


async def test_without_redis_from_the_beginning_the_own_window_counts(tmp_path: Path) -> None:
    async with counting(RedisServer(tmp_path).url) as (worker,):
        assert await worker.many("t", 150) == 100
        # Who finds its own window full need not ask anybody.
        assert worker.fallbacks("down") == 100


@pytest.mark.parametrize("away", [RedisServer.kill, RedisServer.freeze])
async def test_a_worker_that_falls_back_goes_on_from_what_it_admitted(
    redis: RedisServer, away: Callable[[RedisServer], None]
) -> None:
    async with counting(redis.url) as (worker,):
        await worker.up()
        assert await worker.many("t", 60) == 60
        before = worker.fallbacks()
        away(redis)
        assert await worker.many("t", 60) == 40
        assert worker.fallbacks() == before + 40
        assert worker.metrics.registry.get_sample_value("offertide_redis_up") == 0


async def test_what_is_late_is_counted_as_late_and_nobody_else_waits_for_it(redis: RedisServer) -> None:
    async with counting(redis.url, late_ms=500) as (worker,):
        await worker.up()
        redis.freeze()
        assert await worker.many("t", 90) == 90
        # Only those that were there already; the others did not ask.
        assert 1 <= worker.fallbacks("late") <= AT_ONCE
        assert worker.fallbacks("late") + worker.fallbacks("down") == 90
        assert worker.limits.link is not None
        assert len(worker.limits.link.pool._in_use_connections) <= AT_ONCE
        redis.thaw()
        await worker.up()
        assert worker.metrics.registry.get_sample_value("offertide_redis_up") == 1


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_sharing_comes_back_by_itself(redis: RedisServer, how: str) -> None:
    async with counting(redis.url, redis.url) as workers:
        for worker in workers:
            await worker.up()
        redis.kill() if how == "killed" else redis.freeze()
        # Nobody knows of the other: each admits its own window, and no call fails.
        assert [await worker.many("alone", 150) for worker in workers] == [100, 100]
        redis.start() if how == "killed" else redis.thaw()
        for worker in workers:
            await worker.up()
        await exactly(workers, 150, 100)


async def test_a_redis_that_comes_back_empty_hands_out_no_fresh_window(redis: RedisServer) -> None:
    async with counting(redis.url) as (worker,):
        await worker.up()
        assert await worker.many("t", 80) == 80
        redis.kill()
        await worker.admitted("t")
        redis.start()
        await worker.up()
        assert await worker.many("t", 150) == 19


async def test_a_full_window_is_not_asked_again_before_there_is_room(redis: RedisServer) -> None:
    async with counting(redis.url, redis.url) as (one, two):
        await one.up()
        await two.up()
        assert await one.many("t", 100) == 100
        assert not await two.admitted("t")
        redis.freeze()
        # Known to be full: neither asked nor counted in the own window.
        assert await two.many("t", 50) == 0
        assert two.fallbacks() == 0


async def test_a_wrong_password_falls_back_and_is_not_logged(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "right-one") as server:
        url = re.sub("//", "//:wrong-one@", server.url)
        with capture_logs() as logs:
            async with counting(url) as (worker,):

                async def told() -> bool:
                    return any("Redis is away" in entry["event"] for entry in logs)

                await eventually(told, 20, "Redis refused")
                assert await worker.many("t", 150) == 100
                # Tried again meanwhile, and said no more of it.
                await asyncio.sleep(0.3)
        away = [entry for entry in logs if "Redis is away" in entry["event"]]
        assert [entry["error"] for entry in away] == ["AuthenticationError"]
        assert "wrong-one" not in repr(logs)
        assert "127.0.0.1" not in repr(logs)


async def test_redis_behind_a_socket_and_behind_tls(tmp_path: Path) -> None:
    certificate, key = certificate_in(tmp_path)
    socket = str(tmp_path / "redis.sock")
    (port,) = free_ports(1)
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    options = ("--unixsocket", socket, "--tls-port", str(port), "--tls-auth-clients", "no", *files)
    secure = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
    with RedisServer(tmp_path, *options):
        async with counting(f"unix://{socket}", secure, f"rediss://127.0.0.1:{port}/0") as workers:
            for worker in workers[:2]:
                await worker.up()
            await exactly(workers[:2], 150, 100)
            # Whose certificate is not known is not spoken to.
            assert not await workers[2]._is_up()


async def test_each_change_is_logged_once(redis: RedisServer) -> None:
    with capture_logs() as logs:
        async with counting(redis.url) as (worker,):
            await worker.up()
            redis.kill()
            await worker.many("t", 90)
            redis.start()
            await worker.up()
    events = [entry["event"].split(":")[0] for entry in logs]
    assert events == ["Redis answers", "Redis is away", "Redis answers"]


async def test_a_redis_that_takes_no_writes_is_away(redis: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "replica").mkdir()
    with RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(redis.port)) as replica:
        async with counting(replica.url) as (worker,):
            await asyncio.sleep(0.5)
            assert await worker.many("t", 150) == 100
            assert worker.fallbacks("down") == 100


async def test_who_waits_too_long_for_a_turn_does_without(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "TURN_S", 0.05)
    metrics = new_metrics()
    link = RedisLink(redis.url, metrics, late_s=30)
    link.check_with(link.client.ping)
    link.start()

    async def is_up() -> bool:
        return link.up

    await eventually(is_up, 20, "Redis is asked")
    asked, leave = 0, asyncio.Event()

    async def long() -> None:
        nonlocal asked
        asked += 1
        await leave.wait()

    turns = [asyncio.create_task(link.ask(long)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(RedisAwayError) as error:
        await link.ask(long)
    assert (error.value.reason, asked, link.up) == ("busy", AT_ONCE, True)
    assert metrics.registry.get_sample_value("offertide_redis_waiting") == 0
    leave.set()
    await asyncio.gather(*turns)
    await link.ask(long)
    await link.stop()


async def test_it_stops_although_the_library_loses_a_cancellation(redis: RedisServer) -> None:
    link = RedisLink(redis.url, new_metrics(), late_s=30)
    begun, leave = asyncio.Event(), asyncio.Event()

    async def deaf() -> None:
        begun.set()
        # As `asyncio.wait_for` of Python 3.11 does when its answer came just then.
        with contextlib.suppress(asyncio.CancelledError):
            await leave.wait()

    link.check_with(deaf)
    link.start()
    await begun.wait()
    async with asyncio.timeout(20):
        await link.stop()
    leave.set()
    assert not link.up
