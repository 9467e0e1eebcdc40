"""docker-compose.yml: what it starts is what the program takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.commands.keys import keys
from config.settings import Settings

ROOT = Path(__file__).parents[2]
PEPPER = "p" * 64


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services: dict[str, Any] = found["services"]
    return services


def settings_of(service: dict[str, Any]) -> Settings:
    """The settings that a service's environment gives, with a pepper as the operator would set it."""
    given = {name: str(value) for name, value in service["environment"].items()}
    assert given["OFFERTIDE_API_KEY_PEPPER"].startswith("${API_KEY_PEPPER:?")
    return Settings.from_env({"HOME": "/h", **given, "OFFERTIDE_API_KEY_PEPPER": PEPPER})


def test_two_workers_that_can_reach_each_other_start_with_keys(services: dict[str, Any]) -> None:
    workers = [settings_of(services[name]) for name in ("worker-1", "worker-2")]
    assert {one.worker_url for one in workers} == {"http://worker-1:8080", "http://worker-2:8080"}
    for one in workers:
        assert (one.auth_mode, one.pepper(), one.web_host) == ("api_key", PEPPER, "0.0.0.0")
        assert one.redis_url is not None


def test_they_wait_for_the_first_key(services: dict[str, Any]) -> None:
    group, command, *arguments = services["first-key"]["command"]
    assert (group, command) == ("keys", "create")
    context = keys.commands["create"].make_context("create", arguments)
    assert (context.params["tenant"], context.params["role"]) == ("demo", "admin")
    assert (context.params["if_none"], context.params["output"]) == (True, "/keys/demo-admin")
    for name in ("worker-1", "worker-2"):
        assert services[name]["depends_on"]["first-key"] == {"condition": "service_completed_successfully"}
        assert "keys:/keys:ro" in services[name]["volumes"]


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)
