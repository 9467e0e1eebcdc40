"""The command line against a worker that wants API keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from config.settings import Settings
from tests.contract.bank import TENANT
from tests.contract.service import Service
from tests.web.keyed import PEPPER


def offertide(*arguments: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One run of the program, with these settings only."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OFFERTIDE_", "OTK_"))}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=env | dict(variables),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def brokers(settings: Settings) -> dict[str, str]:
    """What an operator sets to reach the brokers of a worker."""
    return {
        "OFFERTIDE_BROKER": settings.broker,
        "OFFERTIDE_APP_ID": settings.app_id,
        "OFFERTIDE_IDEMPOTENT_PRODUCER": "false",
        "OFFERTIDE_API_KEY_PEPPER": PEPPER,
    }


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Two customers."""
    path = tmp_path / "customers.csv"
    path.write_text("customerId,city\nloaded-1,Ulm\nloaded-2,Bonn\n")
    return str(path)


def test_customers_load_with_a_key(service: Service, file: str) -> None:
    key = {"OTK_API_KEY": service.keys["editor"]}
    done = offertide("customers", "load", file, "--url", service.url, variables=key)
    assert (done.returncode, done.stdout) == (0, "2 rows: 2 accepted, 0 rejected\n"), done.stderr
    again = offertide(
        "customers", "load", file, "--url", service.url, "--key", service.keys["editor"], variables={}
    )
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("role", "tenant", "status", "hint"),
    [
        (None, None, 401, "OTK_API_KEY or --key; `offertide keys create` makes one"),
        ("viewer", None, 403, "a key of the role editor"),
        ("editor", "other", 403, "of that tenant"),
    ],
)
def test_customers_load_says_which_key_it_wants(
    service: Service, file: str, role: str | None, tenant: str | None, status: int, hint: str
) -> None:
    key = {} if role is None else {"OTK_API_KEY": service.keys[role]}
    whose = [] if tenant is None else ["--tenant", tenant]
    done = offertide("customers", "load", file, "--url", service.url, *whose, variables=key)
    assert (done.returncode, f"answered {status}" in done.stderr) == (1, True), done.stderr
    assert hint in done.stderr
    assert "Go on with --from-row 2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(text in done.stderr for text in service.keys.values())


def test_what_goes_straight_to_the_brokers(service: Service, tmp_path: Path) -> None:
    settings = brokers(service.worker.settings)
    made = offertide("keys", "create", "--tenant", TENANT, "--role", "viewer", "--json", variables=settings)
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)["key"]
    exported = tmp_path / "bank.yaml"
    for arguments in (
        ("keys", "list", "--tenant", TENANT),
        ("catalog", "export", "--tenant", TENANT, "--output", str(exported)),
        ("catalog", "import", str(exported), "--tenant", TENANT, "--dry-run"),
        ("audit", "verify"),
    ):
        done = offertide(*arguments, variables=settings)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        assert key not in done.stdout + done.stderr
