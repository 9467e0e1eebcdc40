"""Circuit breakers of models."""

from __future__ import annotations

from app.decision.scoring.breaker import FAILURES_MAX, OPEN_MS, Breakers


def fail(breakers: Breakers, now_ms: int, model: str = "m", tenant: str = "t") -> list[str]:
    return breakers.note(tenant, {model: True}, now_ms)


def test_five_failures_in_a_row_open_it_for_a_minute() -> None:
    breakers = Breakers()
    assert [fail(breakers, n) for n in range(FAILURES_MAX)] == [[], [], [], [], ["m"]]
    assert breakers.bypassed("t", FAILURES_MAX - 1) == {"m"}
    assert breakers.bypassed("t", FAILURES_MAX - 2 + OPEN_MS) == {"m"}
    assert breakers.bypassed("t", FAILURES_MAX - 1 + OPEN_MS) == frozenset()


def test_a_success_starts_the_count_anew() -> None:
    breakers = Breakers()
    for n in range(20):
        fail(breakers, n)
        fail(breakers, n)
        assert breakers.note("t", {"m": False}, n) == []
    assert breakers.bypassed("t", 20) == frozenset()


def test_one_more_failure_after_the_minute_opens_it_again() -> None:
    breakers = Breakers()
    for _ in range(FAILURES_MAX):
        fail(breakers, 0)
    assert fail(breakers, OPEN_MS) == ["m"]
    assert breakers.bypassed("t", 2 * OPEN_MS - 1) == {"m"}
    assert breakers.note("t", {"m": False}, 2 * OPEN_MS) == []
    assert fail(breakers, 2 * OPEN_MS) == []


def test_models_and_tenants_have_breakers_of_their_own() -> None:
    breakers = Breakers()
    for _ in range(FAILURES_MAX):
        fail(breakers, 0)
    assert breakers.bypassed("other", 1) == frozenset()
    assert fail(breakers, 1, "n") == []
