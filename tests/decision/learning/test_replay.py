"""The benchmark's replay, on logs whose answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.decision.learning.epsilon_greedy import EpsilonGreedy
from app.decision.learning.evidence import Rewards
from app.decision.learning.strategies import Drawn, Highest, Weights
from app.decision.learning.thompson import Thompson
from tests.bench import open_bandit
from tests.bench.open_bandit import CACHE_VARIABLE, LogUnavailableError, fetched_log, read_log
from tests.bench.replay import Row, replay, weighted

#: Two arms, shown in turns: `b` is always clicked, `a` never.
LOG = [Row("ab"[i % 2], i % 2 == 1, 0.5) for i in range(400)]


class Always:
    """A strategy that picks one arm, and learns nothing."""

    def __init__(self, arm: str) -> None:
        self.arm = arm

    def weigh(self, factors: Mapping[str, float], rewards: Rewards, salt: str, /) -> Weights:
        chosen = {arm: float(arm == self.arm) for arm in factors}
        return Weights(chosen, chosen, chosen)


@pytest.mark.parametrize(("arm", "clicks", "rate"), [("a", 0, 0.0), ("b", 200, 1.0)])
def test_a_fixed_strategy_earns_its_arm(arm: str, clicks: int, rate: float) -> None:
    found = replay(LOG, Always(arm), Highest(), seed=1)
    assert (found.matched, found.clicks) == (200, clicks)
    assert set(found.weights) == {0.0, 2.0}
    estimate = weighted(LOG, found.weights, resamples=50, seed=1)
    assert (estimate.rate, estimate.low, estimate.high) == (rate, rate, rate)
    assert estimate.effective_rows == 200


def test_the_logging_policy_weighs_to_its_own_rate() -> None:
    estimate = weighted(LOG, [1.0] * len(LOG), resamples=400, seed=1)
    assert (estimate.rate, estimate.effective_rows) == (0.5, 400)
    assert estimate.low == pytest.approx(0.45, abs=0.015)
    assert estimate.high == pytest.approx(0.55, abs=0.015)


def test_a_strategy_learns_from_matched_rows_only() -> None:
    """Without exploration it picks `a` first, by id, and never sees that `b` is better."""
    stuck = EpsilonGreedy(start=0.0, min=0.0)
    found = replay(LOG, stuck, Drawn(), seed=1)
    assert (found.matched, found.clicks) == (200, 0)
    taught = replay(LOG, stuck, Drawn(), seed=1, learn_from_all=True)
    assert (taught.matched, taught.clicks) == (200, 199)


def test_thompson_finds_the_better_arm() -> None:
    found = replay(LOG, Thompson(), Highest(), seed=1)
    assert found.clicks / found.matched > 0.9
    assert weighted(LOG, found.weights, resamples=10, seed=1).rate > 0.9
    assert replay(LOG, Thompson(), Highest(), seed=1) == found
    assert replay(LOG, Thompson(), Highest(), seed=2) != found


def test_the_dataset_is_read_by_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    file.write_text(
        ",timestamp,item_id,position,click,propensity_score,user_feature_0\n0,t,14,3,0,0.0125,x\n1,t,2,1,1,0.5,y\n"
    )
    assert read_log(file) == [Row("14", False, 0.0125), Row("2", True, 0.5)]


def test_without_the_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(LogUnavailableError, match="needs the network once"):
        fetched_log()


def test_another_file_than_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(open_bandit, "_downloaded", lambda folder: b"something else")
    with pytest.raises(LogUnavailableError, match="not the file it was"):
        fetched_log()
    assert list(tmp_path.iterdir()) == []
