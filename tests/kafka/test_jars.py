"""Fetching Kafka's jars, with a script in Maven's place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kafka.jars import CACHE_VARIABLE, KafkaUnavailableError, java_available, kafka_jars

COUNT_AND_MAKE_A_JAR = """
echo run >> "$(dirname "$0")/runs"
for word in "$@"; do case "$word" in -DoutputDirectory=*) jars="${word#*=}";; esac; done
mkdir -p "$jars" && /bin/sleep 0.2 && echo jar > "$jars/kafka.jar"
"""


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache and a folder before everything else on the path."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def put(tools: Path, name: str, body: str) -> None:
    """A shell script as a program of that name."""
    (tools / name).write_text(f"#!/bin/sh\n{body}\n")
    (tools / name).chmod(0o755)


def test_fetched_once_by_all(tools: Path) -> None:
    put(tools, "mvn", COUNT_AND_MAKE_A_JAR)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: kafka_jars(), range(4)))
    assert len(folders) == 1
    assert (folders.pop() / "kafka.jar").exists()
    assert (tools / "runs").read_text() == "run\n"


def test_a_fetch_that_failed_is_told_and_done_again(tools: Path) -> None:
    put(tools, "mvn", COUNT_AND_MAKE_A_JAR + "echo the network is away; exit 1")
    with pytest.raises(KafkaUnavailableError, match=r"(?s)code 1.*the network is away"):
        kafka_jars()
    put(tools, "mvn", COUNT_AND_MAKE_A_JAR)
    assert (kafka_jars() / "kafka.jar").exists()


@pytest.mark.parametrize(
    ("java", "maven", "reason"),
    [
        (None, "true", "Java 17 or newer is not installed"),
        ("echo 'openjdk version \"11.0.2\"' >&2", "true", "Java is version 11"),
        ("echo no runtime >&2; exit 1", "true", "Java is version 0"),
        ("echo 'openjdk version \"21.0.2\"' >&2", None, "Maven, which fetches Kafka, is not installed"),
    ],
)
def test_what_is_missing_is_one_line_with_the_way_to_get_it(
    tools: Path, monkeypatch: pytest.MonkeyPatch, java: str | None, maven: str | None, reason: str
) -> None:
    monkeypatch.setenv("PATH", str(tools))
    for name, body in (("java", java), ("mvn", maven)):
        if body is not None:
            put(tools, name, body)
    line = java_available()
    assert line is not None
    assert line.startswith(reason)
    assert "apt-get install" in line
    assert "\n" not in line


def test_no_maven_is_needed_once_the_jars_are_there(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tools, "mvn", COUNT_AND_MAKE_A_JAR)
    put(tools, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    kafka_jars()
    (tools / "mvn").unlink()
    monkeypatch.setenv("PATH", str(tools))
    assert java_available() is None
