"""What a test session does without Java: a developer is told, CI fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLUSTER_TESTS = "tests/kafka/test_cluster.py"


def session(ci: bool, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own that finds no Java."""
    env = {name: value for name, value in os.environ.items() if name not in {"JAVA_HOME", "CI"}}
    env |= {"PATH": "/nonexistent"} | ({"CI": "true"} if ci else {})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_developer_reads_one_line() -> None:
    done = session(False, CLUSTER_TESTS, "tests/test_embedded_broker.py", "-k", "cluster or wrong_override")
    lines = [line for line in done.stdout.splitlines() if "real Apache Kafka" in line]
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert len(lines) == 1
    assert "left out" in lines[0]
    assert "apt-get install" in lines[0]


def test_ci_fails() -> None:
    done = session(True, CLUSTER_TESTS, "-k", "idempotent")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "CI must run the tests on Apache Kafka" in done.stdout
    assert "apt-get install" in done.stdout
