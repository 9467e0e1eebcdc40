"""Programs that samples run with: Node and curl. CI must have them; elsewhere their tests are left out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.service import Got
from tests.kafka.broker import in_ci

_LIMIT_S = 60


def program(name: str) -> str:
    """Where the program is; without it the test is left out, and in CI fails."""
    found = shutil.which(name)
    if found is None:
        assert not in_ci(), f"CI must run the samples, and {name} is missing"
        pytest.skip(f"left out: samples that need {name}, which is not installed")
    return found


def run(command: list[str], variables: Mapping[str, str] | None = None) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(url: str, *options: str) -> Got:
    """What curl gets."""
    told = run([program("curl"), "--silent", "--show-error", "--include", *options, url])
    head, _, body = told.replace("\r\n", "\n").rpartition("\n\n")
    lines = head.splitlines()
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    status = int(lines[0].split()[1])
    return Got(status, {name.lower(): value for name, value in headers.items()}, json.loads(body or "null"))


def sample(command: str, script: str, service: Mapping[str, str], *arguments: str) -> Any:
    """The JSON that a client under `clients` prints."""
    path = Path(__file__).parent / "clients" / script
    return json.loads(run([command, str(path), *arguments], {"PATH": "/usr/bin:/bin", **service}))
