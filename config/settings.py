"""Every setting of a worker, read once from ``OFFERTIDE_*`` environment variables."""

from __future__ import annotations

import difflib
import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from config.http_settings import HttpSettings
from config.setting_rules import contradictions
from config.setting_types import (
    PREFIX,
    Secret,
    as_text,
    as_variable,
    choice,
    directory,
    host,
    number,
    redis_address,
    secret_text,
    web_address,
)

_DAY_MS = 86_400_000
_MIB = 1_048_576
_LEVELS = ("debug", "info", "warning", "error", "critical")
_FORMATS = ("auto", "json", "console")

#: Settings that are read under a second, documented name too.
SHORT_NAMES: Mapping[str, str] = {"auth_mode": "AUTH_MODE", "api_key_pepper": "API_KEY_PEPPER"}


class SettingsError(ValueError):
    """Settings that cannot be used. ``problems`` holds one sentence for each; the caller prints and exits."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        head = "1 setting is wrong" if len(problems) == 1 else f"{len(problems)} settings are wrong"
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"{head} (docs/settings.md lists them all):{lines}")


def default_data_dir(env: Mapping[str, str]) -> Path:
    """The platform's folder for state, for the user that ``env`` describes."""
    home = Path(env["HOME"]) if env.get("HOME") else Path("~").expanduser()
    if sys.platform == "win32":
        return Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local") / "offertide"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "offertide"
    return Path(env.get("XDG_STATE_HOME") or home / ".local" / "state") / "offertide"


class Settings(HttpSettings, frozen=True, kw_only=True):
    """One worker's settings; immutable, and consistent with one another once it exists.

    Built directly (tests, the demo) it checks only how fields agree; ``from_env`` checks each field too.
    """

    data_dir: Annotated[
        Path,
        directory(
            "Folder of the local stores, rebuilt from Kafka if lost; by default the platform's for state."
        ),
    ] = msgspec.field(default_factory=lambda: default_data_dir(os.environ))
    web_host: Annotated[str, host("Address the HTTP server listens on.")] = "127.0.0.1"
    web_port: Annotated[int, number(1, 65_535, "port", "Port the HTTP server listens on.")] = 8080
    advertised_url: Annotated[
        str | None, web_address("Where other workers reach this one; by default its own host and port.")
    ] = None
    auth_mode: Annotated[
        Literal["api_key", "sandbox"],
        choice(
            ("api_key", "sandbox"),
            "How callers are known: by API keys, or, on loopback only, by a tenant header that is trusted. "
            "Also read as AUTH_MODE.",
        ),
    ] = "api_key"
    api_key_pepper: Annotated[
        Secret | None,
        secret_text(
            "Key of the HMAC that API keys are stored under; a worker needs it. Also read as API_KEY_PEPPER."
        ),
    ] = None
    redis_url: Annotated[
        Secret | None,
        redis_address("Redis in which workers count rates and quotas together; each counts alone without."),
    ] = None
    redis_timeout_ms: Annotated[
        int, number(5, 10_000, "milliseconds", "How late Redis may be before a worker counts alone.")
    ] = 50
    body_limit_bytes: Annotated[
        int, number(1_024, 16 * _MIB, "bytes", "Largest request body; a larger one is answered 413.")
    ] = 262_144
    bulk_limit_bytes: Annotated[
        int, number(1_024, 256 * _MIB, "bytes", "Largest body of a bulk load of customers; past it: 413.")
    ] = 16 * _MIB
    read_your_writes_timeout_ms: Annotated[
        int,
        number(
            100, 60_000, "milliseconds", "How long respond and ingest wait for the fold, then answer PENDING."
        ),
    ] = 3_000
    spool_limit_bytes: Annotated[
        int,
        number(
            _MIB, 1 << 40, "bytes", "Most that events which Kafka does not take may fill of the data folder."
        ),
    ] = 1_024 * _MIB
    max_in_flight: Annotated[
        int, number(1, 100_000, "requests", "Requests served at once; past it the answer is OVERLOADED.")
    ] = 512
    cache_customers: Annotated[
        int, number(1, 50_000_000, "customers", "Decoded customers kept in memory by a worker.")
    ] = 200_000
    rocksdb_cache_bytes: Annotated[
        int, number(_MIB, 1 << 40, "bytes", "Block cache shared by the stores of all partitions.")
    ] = 256 * _MIB
    rocksdb_write_buffer_bytes: Annotated[
        int, number(_MIB, 1 << 40, "bytes", "Write buffers shared by the stores of all partitions.")
    ] = 128 * _MIB
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        choice(_LEVELS, "Least severe event that is logged; customer data appears at debug only."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        choice(_FORMATS, "One JSON object a line, or text; auto is text when a terminal reads it."),
    ] = "auto"

    def __post_init__(self) -> None:
        """Raise ``SettingsError`` when fields contradict one another."""
        problems = contradictions({field: getattr(self, field) for field in self.__struct_fields__})
        if problems:
            raise SettingsError(problems)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """The settings ``env`` describes; unset and empty variables take their default.

        Raises ``SettingsError``, naming every wrong or unknown ``OFFERTIDE_*`` variable at once.
        """
        values: dict[str, Any] = {"data_dir": default_data_dir(env)}
        problems = list(_unknown(env))
        broken: set[str] = set()
        for setting in settings_table():
            text, clash = _text_of(setting, env)
            if clash is not None:
                problems.append(clash)
                broken.add(setting.field)
            if not text or clash is not None:
                continue
            try:
                values[setting.field] = setting.parse(text)
            except (ValueError, RuntimeError):  # RuntimeError: a home folder that cannot be found
                problems.append(
                    f"{setting.name}: {_given(setting, text)} given, allowed is {setting.allowed}"
                )
                broken.add(setting.field)
        if not problems:
            return cls(**values)
        raise SettingsError((*problems, *contradictions({**_defaults(), **values}, broken)))

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """An environment for a worker process with these settings, secrets included.

        ``inherited`` is passed on but for its own ``OFFERTIDE_*`` variables.
        """
        described = {setting.name: getattr(self, setting.field) for setting in settings_table()}
        own = {name: as_variable(value) for name, value in described.items() if value is not None}
        dropped = set(SHORT_NAMES.values())
        kept = {name: value for name, value in inherited.items() if not name.startswith(PREFIX)}
        return {name: value for name, value in kept.items() if name not in dropped} | own

    @property
    def bootstrap_servers(self) -> tuple[str, ...]:
        """The brokers, each as ``host:port``."""
        return tuple(self.broker.split(","))

    def pepper(self) -> str:
        """What API keys are stored under.

        Raises ``SettingsError``, saying how to make one, when there is none.
        """
        if self.api_key_pepper is None:
            raise SettingsError(
                (
                    f"{PREFIX}API_KEY_PEPPER: not set, and {PREFIX}AUTH_MODE={self.auth_mode} needs it: a "
                    "secret of at least 32 characters that all workers share (openssl rand -hex 32 makes "
                    f"one); for a tryout on this machine alone set {PREFIX}AUTH_MODE=sandbox",
                )
            )
        return self.api_key_pepper.reveal()

    @property
    def worker_url(self) -> str:
        """Where other workers reach this one, without a closing slash."""
        host_name = f"[{self.web_host}]" if ":" in self.web_host else self.web_host
        return self.advertised_url or f"http://{host_name}:{self.web_port}"

    @property
    def binds(self) -> tuple[tuple[str, int], ...]:
        """Hosts and ports to listen on: the API's, then, if operations have one of their own, theirs."""
        api = (self.web_host, self.web_port)
        return (api,) if self.ops_port is None else (api, (self.ops_host or self.web_host, self.ops_port))


@dataclass(frozen=True)
class Setting:
    """What is known of one setting: its variable, field, default as text, unit, bounds and meaning."""

    name: str
    field: str
    default: str
    unit: str
    allowed: str
    description: str
    secret: bool
    parse: Callable[[str], Any]


@functools.cache
def settings_table() -> tuple[Setting, ...]:
    """Every setting, in the order of the class."""
    hints = get_type_hints(Settings, include_extras=True)
    defaults = _defaults()
    return tuple(
        _setting(field, hints[field].__metadata__[0], defaults[field]) for field in Settings.__struct_fields__
    )


def _setting(field: str, meta: msgspec.Meta, default: object) -> Setting:
    extra = meta.extra or {}
    shown = "~/.local/state/offertide" if field == "data_dir" else as_text(default)
    return Setting(
        name=PREFIX + field.upper(),
        field=field,
        default=shown,
        unit=extra["unit"],
        allowed=extra["allowed"],
        description=meta.description or "",
        secret=bool(extra.get("secret")),
        parse=extra["parse"],
    )


def _defaults() -> dict[str, Any]:
    settings = Settings()
    return {field: getattr(settings, field) for field in Settings.__struct_fields__}


def _text_of(setting: Setting, env: Mapping[str, str]) -> tuple[str, str | None]:
    """What the environment says of a setting, under its own or its short name; and whether they clash."""
    text = env.get(setting.name, "").strip()
    short = SHORT_NAMES.get(setting.field)
    other = env.get(short, "").strip() if short else ""
    if text and other and text != other:
        return "", f"{setting.name}: differs from {short}, another name of the same setting: set one of them"
    return text or other, None


def _given(setting: Setting, text: str) -> str:
    """The text to show in an error: never a secret, and never what stands before an @."""
    if setting.secret:
        return "another value"
    shown = "***" + text[text.rindex("@") :] if "@" in text else text
    return repr(shown if len(shown) <= 80 else shown[:80] + "…")


def _unknown(env: Mapping[str, str]) -> tuple[str, ...]:
    known = [setting.name for setting in settings_table()]
    return tuple(
        f"{variable}: unknown, the closest setting is {difflib.get_close_matches(variable, known, 1, 0.0)[0]}"
        for variable in sorted(env)
        if variable.startswith(PREFIX) and variable not in known
    )
