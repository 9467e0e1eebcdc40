"""Logs: one line an event, whoever logs it, and nothing from outside that starts a line of its own."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from faust.utils import terminal

from config.logs import KafkaNoise, configure_logs, get_logger
from config.setting_types import Secret
from config.settings import Settings

Level = Literal["debug", "info", "warning", "error", "critical"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("aiokafka", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def json_logs(level: Level = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logs(Settings(log_format="json", log_level=level), stream)
    return stream


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_on_one_line() -> None:
    stream = json_logs()
    get_logger("agents.fold").info("batch folded", records=3, text="a\nb")
    (event,) = events(stream)
    assert event["event"] == "batch folded"
    assert event["records"] == 3
    assert (event["level"], event["logger"]) == ("info", "agents.fold")
    assert event["timestamp"].endswith("Z")


def test_libraries_log_the_same_way() -> None:
    stream = json_logs()
    logging.getLogger("faust.app").warning("[^--App]: Starting %s...", "x")
    (event,) = events(stream)
    assert (event["event"], event["service"], event["logger"]) == ("Starting x...", "App", "faust.app")


def test_the_request_stands_in_every_line_of_both() -> None:
    stream = json_logs()
    structlog.contextvars.bind_contextvars(request="r1", tenant="acme", partition=4)
    get_logger("web").info("answered")
    logging.getLogger("faust.web").warning("slow")
    assert [(e["request"], e["tenant"], e["partition"]) for e in events(stream)] == [("r1", "acme", 4)] * 2


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_workers_number_stands_in_every_line(form: Literal["json", "console"]) -> None:
    stream = io.StringIO()
    configure_logs(Settings(log_format=form), stream, worker=3)
    get_logger("web").info("answered")
    logging.getLogger("faust.web").warning("slow")
    said = {"json": '"worker": 3', "console": "worker=3"}[form]
    assert [said in line for line in stream.getvalue().splitlines()] == [True, True]


def test_the_level_holds_for_both() -> None:
    stream = json_logs("warning")
    get_logger("app").info("no")
    logging.getLogger("faust").info("no")
    get_logger("app").warning("yes")
    assert [event["event"] for event in events(stream)] == ["yes"]


@pytest.mark.parametrize(
    ("level", "info_seen", "debug_seen"), [("info", False, False), ("debug", True, False)]
)
def test_the_kafka_clients_chatter_is_kept_down(level: Level, info_seen: bool, debug_seen: bool) -> None:
    stream = json_logs(level)
    logging.getLogger("aiokafka.consumer.group_coordinator").info("joined")
    logging.getLogger("aiokafka.conn").debug("fetch")
    logging.getLogger("aiokafka.conn").warning("lost")
    seen = {event["event"] for event in events(stream)}
    assert ("joined" in seen, "fetch" in seen, "lost" in seen) == (info_seen, debug_seen, True)


def test_fausts_tables_become_one_line() -> None:
    stream = io.StringIO()
    configure_logs(Settings(log_format="console"), stream)
    table = terminal.logtable(
        [["events", "0", "5"]], title="Highwater", headers=["topic", "partition", "offset"]
    )
    logging.getLogger("faust.tables").warning("[^--Recovery]: Highwater for %s:\n%s", "active", table)
    (line,) = stream.getvalue().splitlines()
    assert "Highwater for active: topic partition offset; events 0 5" in line


def test_a_very_long_library_message_is_cut() -> None:
    stream = json_logs()
    logging.getLogger("faust").warning("x" * 1_000_000)
    assert 0 < len(stream.getvalue()) < 3_000


def test_a_value_cannot_start_a_line_or_steer_the_terminal() -> None:
    stream = io.StringIO()
    configure_logs(Settings(log_format="console"), stream)
    get_logger("web").warning("refused\r", path="/x\n2026-01-01 [info] forged\x1b[2J\u2028")
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert "\\x0a" in line


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: Literal["json", "console"]) -> None:
    stream = Terminal()
    configure_logs(Settings(log_format=form), stream)
    customer = "".join(("al", "ice"))  # the source line must not spell the value
    try:
        raise ValueError(len(customer))
    except ValueError:
        get_logger("app").exception("failed")
    assert "ValueError: 5" in stream.getvalue()
    assert "alice" not in stream.getvalue()


def test_a_secret_stays_one() -> None:
    stream = json_logs()
    get_logger("app").info("redis", url=Secret("redis://:hush@cache"))
    assert "hush" not in stream.getvalue()


def test_auto_is_text_for_a_terminal_and_json_for_anything_else() -> None:
    for stream, is_json in ((Terminal(), False), (io.StringIO(), True)):
        configure_logs(Settings(log_format="auto"), stream)
        get_logger("app").info("ready")
        assert stream.getvalue().startswith("{") is is_json


def test_warnings_are_logged() -> None:
    stream = json_logs()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
    assert any("old" in event["event"] for event in events(stream))


def test_a_logger_made_before_the_configuration_follows_it() -> None:
    log = get_logger("early")
    stream = json_logs()
    log.info("now")
    assert events(stream)[0]["logger"] == "early"


def test_what_the_kafka_client_repeats_is_said_once_in_a_while_with_its_number() -> None:
    noise, now_s = KafkaNoise(every_s=10.0), 1_000.0

    def said(message: str, at_s: float, name: str = "aiokafka.consumer.fetcher") -> str | None:
        record = logging.LogRecord(name, logging.ERROR, "f", 1, message, ("broker-1",), None)
        record.created = at_s
        return record.getMessage() if noise.filter(record) else None

    assert said("cannot reach %s", now_s) == "cannot reach broker-1"
    assert [said("cannot reach %s", now_s + n) for n in range(1, 10)] == [None] * 9
    assert said("another of %s", now_s + 5) == "another of broker-1"
    assert said("cannot reach %s", now_s + 11) == "cannot reach broker-1 (9 more like it)"
    assert said("cannot reach %s", now_s + 30) == "cannot reach broker-1"
    assert [said("ours %s", now_s, "agents.host") for _ in range(2)] == ["ours broker-1"] * 2
    fenced = "Future exception was never retrieved\nfuture: <Future finished exception=ProducerFenced()> %s"
    assert said(fenced, now_s, "asyncio") is None
    assert said("Task was destroyed %s", now_s, "asyncio") == "Task was destroyed broker-1"
