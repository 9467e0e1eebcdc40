"""How settings must agree with one another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from config.setting_types import PREFIX, as_text, is_loopback

_Values = Mapping[str, Any]


class _Rule(NamedTuple):
    """The fields it reads, the first of which is to blame; whether they agree; what would be allowed."""

    fields: tuple[str, ...]
    holds: Callable[[_Values], bool]
    allowed: Callable[[_Values], str]


def contradictions(values: _Values, broken: Collection[str] = ()) -> tuple[str, ...]:
    """One sentence for each rule that ``values`` break, where none of its fields is in ``broken``."""
    return tuple(
        _sentence(rule, values)
        for rule in _RULES
        if not any(field in broken for field in rule.fields) and not rule.holds(values)
    )


def _sentence(rule: _Rule, values: _Values) -> str:
    blamed = rule.fields[0]
    return f"{PREFIX}{blamed.upper()}: {as_text(values[blamed])} given, allowed is {rule.allowed(values)}"


def _all_loopback(brokers: str) -> bool:
    return all(is_loopback(one.rpartition(":")[0]) for one in brokers.split(","))


_RULES: tuple[_Rule, ...] = (
    _Rule(
        ("heartbeat_interval_ms", "session_timeout_ms"),
        lambda v: v["heartbeat_interval_ms"] * 3 <= v["session_timeout_ms"],
        lambda v: f"at most a third of {PREFIX}SESSION_TIMEOUT_MS ({v['session_timeout_ms']})",
    ),
    _Rule(
        ("rebalance_timeout_ms", "session_timeout_ms"),
        lambda v: v["rebalance_timeout_ms"] >= v["session_timeout_ms"],
        lambda v: f"at least {PREFIX}SESSION_TIMEOUT_MS ({v['session_timeout_ms']})",
    ),
    _Rule(
        ("min_insync_replicas", "replicas"),
        lambda v: v["min_insync_replicas"] <= v["replicas"],
        lambda v: f"at most {PREFIX}REPLICAS ({v['replicas']})",
    ),
    _Rule(
        ("web_host", "auth_mode"),
        lambda v: v["auth_mode"] != "sandbox" or is_loopback(v["web_host"]),
        lambda v: (
            f"a loopback address such as 127.0.0.1, since {PREFIX}AUTH_MODE=sandbox lets every caller in"
        ),
    ),
    _Rule(
        ("ops_port", "web_port"),
        lambda v: v["ops_port"] != v["web_port"],
        lambda v: f"another port than {PREFIX}WEB_PORT",
    ),
    _Rule(
        ("ops_host", "ops_port"),
        lambda v: v["ops_host"] is None or v["ops_port"] is not None,
        lambda v: f"none without {PREFIX}OPS_PORT",
    ),
    _Rule(
        ("idempotent_producer", "broker", "replicas"),
        lambda v: v["idempotent_producer"] or (v["replicas"] == 1 and _all_loopback(v["broker"])),
        lambda v: f"true unless {PREFIX}BROKER is the embedded broker (loopback) and {PREFIX}REPLICAS is 1",
    ),
)
