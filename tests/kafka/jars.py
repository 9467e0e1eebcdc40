"""Apache Kafka's own jars, fetched once with Maven and kept for every later run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE_VARIABLE = "OFFERTIDE_KAFKA_CACHE"
JAVA_AT_LEAST = 17
_POM = Path(__file__).with_name("pom.xml")
_COMPLETE = "complete"
_FETCH_TIMEOUT_S = 240.0
_HOW_TO_GET = "`apt-get install openjdk-17-jre-headless maven` or `brew install openjdk@17 maven`"


class KafkaUnavailableError(RuntimeError):
    """Apache Kafka cannot be had or run here; the message says why and what to do."""


def java_available() -> str | None:
    """None when Apache Kafka can run here, else one line: what is missing and how to get it."""
    java = find_java()
    if java is None:
        return f"Java {JAVA_AT_LEAST} or newer is not installed: {_HOW_TO_GET}"
    version = _java_version(java)
    if version < JAVA_AT_LEAST:
        return f"Java is version {version}, Kafka needs {JAVA_AT_LEAST} or newer: {_HOW_TO_GET}"
    if not (_cache_folder() / _COMPLETE).exists() and shutil.which("mvn") is None:
        return f"Maven, which fetches Kafka, is not installed: {_HOW_TO_GET}"
    return None


def find_java() -> str | None:
    """The full path of the Java to use: that of ``JAVA_HOME``, else the first on the path."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin") if home else None)


def kafka_jars() -> Path:
    """The folder with the jars of Kafka and all it needs, fetched first where that was not done yet.

    Safe to call from several processes at once. Raises KafkaUnavailableError when Maven fails.
    """
    folder = _cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    jars = folder / "jars"
    with _lock(folder / "lock"):
        if not (folder / _COMPLETE).exists():
            if jars.exists():
                shutil.rmtree(jars)  # left by a fetch that was cut off
            _fetch(jars)
            (folder / _COMPLETE).touch()
    return jars


def _cache_folder() -> Path:
    """A folder for exactly this pom, so that a new version never mixes with an old one's jars."""
    named = os.environ.get(CACHE_VARIABLE)
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(named) if named else user_cache / "offertide" / "kafka"
    return root / hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file closes, also by a kill
        yield


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError(f"Maven, which fetches Kafka, is not installed: {_HOW_TO_GET}")
    command = [
        maven,
        "-q",
        "-B",
        "-f",
        str(_POM),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={jars}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise KafkaUnavailableError(f"Maven did not fetch Kafka in {_FETCH_TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise KafkaUnavailableError(f"Maven could not fetch Kafka (code {done.returncode}):\n{last}")


def _java_version(java: str) -> int:
    """The feature version, 0 when the program is no Java that runs (as the stub of macOS)."""
    done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found[1]) if found and done.returncode == 0 else 0
