"""`offertide demo` as people run it: one process, on the embedded broker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.embedded

COMMAND = [sys.executable, "-m", "app.cli", "demo"]


@pytest.fixture
def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OFFERTIDE_")}


def test_it_ends_with_what_the_customers_state_says(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "--exit", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    expected = {
        "purchases": 6_919,
        "customers": 2_357,
        "cds": 16_479,
        "amount": 244_091.94,
        "dead_letters": 0,
        "delivered_before_cap": 3,
        "cap_closed": True,
        "clicks_seen": 1,
    }
    assert {name: summary[name] for name in expected} == expected
    assert summary["rekeyed"] > 1_000
    assert "Traceback" not in done.stderr
    assert "What they see on the website now" in done.stderr


@pytest.fixture
def open_demo(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A demo that stays open: its process, URL and the curl line's body."""
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    url, said = "", []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"open at (http://\S+);", line):
            url = found[1]
        if found := re.search(r"-d '(.*)'", line):
            yield process, url, found[1]
            break
    else:
        raise AssertionError("".join(said))
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_curl_it_prints_works_and_a_signal_stops_all_of_it(
    open_demo: tuple[subprocess.Popen[str], str, str], number: signal.Signals
) -> None:
    process, url, body = open_demo
    headers = {"X-Tenant-Id": "demo", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1/recommend", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        assert json.load(response)["count"] > 0
    process.send_signal(number)
    assert process.wait(30) == 0
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()
        except urllib.error.URLError:
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived the demo")


def test_a_broker_that_is_not_there_is_said_in_a_sentence(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "--exit", "--broker", "127.0.0.1:9"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
