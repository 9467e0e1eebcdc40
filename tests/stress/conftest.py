"""The short run's summary, in the output of every run of the suite: a log of CI tells what was checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

_SUMMARIES = pytest.StashKey[list[dict[str, Any]]]()


@pytest.fixture
def keep_summary(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], None]:
    """Takes a run's summary, to be printed at the end."""
    return request.config.stash.setdefault(_SUMMARIES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line of JSON for each run."""
    for summary in config.stash.get(_SUMMARIES, []):
        terminalreporter.write_line(f"stress: {json.dumps(summary)}")
