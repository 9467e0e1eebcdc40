"""What becomes of a sample whose program is missing: a developer is told, CI fails."""

from __future__ import annotations

import pytest

from tests.contract.tools import program


def test_a_missing_program_leaves_out_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="left out: samples that need node"):
        program("node")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="node is missing"):
        program("node")
