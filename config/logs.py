"""Logs: one line an event, ours and the libraries' alike, as JSON or as text for a terminal.

Bind ``request``, ``tenant`` and ``partition`` with ``structlog.contextvars``; they then stand in every line.
Nothing about a customer is logged above debug.

Faust would set up its own handlers: start its worker with ``override_logging=False``, and set the worker's
``spinner`` to None.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from config.settings import Settings

_MAX_EVENT_CHARS: Final = 2_000
#: mode puts a service's depth and name before its messages: "[^--Consumer]: ".
_SERVICE = re.compile(r"\[\^-*(?P<service>[^\]]+)\]: ")
#: A line that is nothing but a table's frame, perhaps with the title in it: "+Commit Offsets-+------+".
_FRAME = re.compile(r"\s*\+[^|]*\+\s*")
_CELL_EDGE = re.compile(r"\s*\|\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Libraries whose info is a line for each request, fetch or heartbeat: the least level they log at.
_QUIET: Final = dict.fromkeys(("aiokafka", "aiohttp.access", "asyncio", "faust", "mode"), logging.WARNING)


def configure_logs(settings: Settings, stream: TextIO | None = None, worker: int | None = None) -> None:
    """Send every log of this process to ``stream`` (standard error by default), replacing what was set up.

    ``worker``, a worker's number among those of one supervisor, then stands in every line.
    The level is the settings' own. At debug the chatty libraries log at info, below it from warning on.
    """
    target = stream if stream is not None else sys.stderr
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not target.isatty())
    common = _common(worker)
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(common, as_json, colors=target.isatty()))
    handler.addFilter(KafkaNoise())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for quiet_name, least in _QUIET.items():
        logging.getLogger(quiet_name).setLevel(logging.INFO if level <= logging.DEBUG else max(level, least))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,  # a test may configure again
    )


class KafkaNoise(logging.Filter):
    """Lets each kind of warning of the Kafka client by once in a while, with how many were held back.

    In an outage it logs ten lines a second. And a producer that was fenced leaves futures that nobody waits
    for: whoever had to know was told.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "asyncio":
            return "ProducerFenced" not in str(record.msg) or "never retrieved" not in str(record.msg)
        if not record.name.startswith("aiokafka"):
            return True
        kind = (record.name, str(record.msg))
        last_s, held_back = self._kinds.get(kind, (-self._every_s, 0))
        if record.created - last_s < self._every_s:
            self._kinds[kind] = (last_s, held_back + 1)
            return False
        self._kinds[kind] = (record.created, 0)
        if held_back:
            record.msg = f"{record.msg} ({held_back} more like it)"
        return True


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of a module; pass ``__name__``. It may be made before ``configure_logs`` is called."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def _common(worker: int | None) -> list[Processor]:
    def number(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["worker"] = worker
        return event

    return [
        *([] if worker is None else [number]),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(common: list[Processor], as_json: bool, *, colors: bool) -> logging.Formatter:
    # Tracebacks without local variables: they hold customers and secrets.
    ending: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            _no_control_characters,
            structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            ),
        ]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*common, structlog.stdlib.ExtraAdder(allow={"data"}), _flatten],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )


def _flatten(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A library's message on one line: Faust draws tables, mode draws the depth of its services."""
    text = str(event["event"])
    service = _SERVICE.match(text)
    if service is not None:
        event["service"] = service["service"]
        text = text[service.end() :]
    if "\n" in text:
        kept = (line for line in text.splitlines() if line.strip() and _FRAME.fullmatch(line) is None)
        text = "; ".join(" ".join(_CELL_EDGE.sub(" ", line).split()) for line in kept).replace(":;", ":")
    event["event"] = text if len(text) <= _MAX_EVENT_CHARS else text[:_MAX_EVENT_CHARS] + "…"
    return event


def _no_control_characters(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No value from outside may start a line of its own or steer the terminal."""
    for key, value in event.items():
        if isinstance(value, str) and _CONTROL.search(value):
            event[key] = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    return event
