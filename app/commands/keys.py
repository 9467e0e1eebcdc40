"""`offertide keys`: API keys, straight to the catalogue's topic: the first one, and any later."""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.commands.key_records import change_key, keys_of, until_alone, write_key
from app.commands.terminal import (
    BAD_INPUT,
    checked_tenant,
    environment_settings,
    fail,
    run_with_brokers,
)

if TYPE_CHECKING:
    from app.decision.entities import ApiKey
    from config.settings import Settings
    from tables.api_keys import IssuedKey

ROLES = ("viewer", "editor", "admin")
SCOPES = ("decide", "respond", "ingest", "campaigns", "catalogue")

_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_tenant_option = click.option("--tenant", required=True, help="Whose keys.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Duration(click.ParamType):
    """`90d`, `12h` or `30m`; `0` where there may be none.

    Args:
        none: whether there may be.
    """

    name = "duration"

    def __init__(self, none: bool = False) -> None:
        self._none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The time that a text says."""
        if isinstance(value, timedelta):
            return value
        found = _DURATION.fullmatch(str(value))
        if found is None and not (self._none and value == "0"):
            self.fail(f"{value} is not a duration: write 90d, 12h or 30m", param, ctx)
        return timedelta() if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys.

    The brokers are those of OFFERTIDE_BROKER, the pepper is OFFERTIDE_API_KEY_PEPPER (or API_KEY_PEPPER): the
    same that the workers have; only `create` and `rotate` need it. Workers know a change within a second.

    \b
    Examples:
      offertide keys create --tenant acme --role admin
      offertide keys list --tenant acme
      offertide keys rotate key_1a2b3c --tenant acme --overlap 12h
      offertide keys revoke key_1a2b3c --tenant acme
    """


@keys.command("create")
@_tenant_option
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the key may.")
@click.option("--name", default=None, help="What it is for, for people; default: its role.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="Narrow it; repeatable.")
@click.option("--expires-in", type=Duration(), default=None, help="When it ends, as in 90d; default: never.")
@click.option("--output", type=click.Path(dir_okay=False), help="Write the key to a file, its owner's only.")
@click.option("--if-none", is_flag=True, help="Do nothing when the tenant has an active key already.")
@_json_option
def create_command(
    tenant: str,
    role: str,
    name: str | None,
    scopes: tuple[str, ...],
    expires_in: timedelta | None,
    output: str | None,
    if_none: bool,
    as_json: bool,
) -> None:
    """Make a key and show it, once: it cannot be read back.

    \b
    Exit codes: 0 done, 1 trouble with the brokers, 2 wrong options or settings,
    or the catalogue does not take it.

    \b
    Examples:
      offertide keys create --tenant acme --role admin
      offertide keys create --tenant acme --role editor --scope respond --scope ingest --name "web shop"
      offertide keys create --tenant demo --role admin --if-none --output /run/secrets/demo-key
    """
    from tables.api_keys import issue_key

    settings, pepper = _settings()
    tenant_id = checked_tenant(tenant)
    document = {"name": name or f"{role} key", "role": role, "scopes": list(dict.fromkeys(scopes))}
    if expires_in is not None:
        document["expiresAt"] = (datetime.now(UTC) + expires_in).isoformat()
    if if_none and any(key.status == "active" for key in run_with_brokers(keys_of(settings, tenant_id))):
        _say(as_json, {"created": False}, f"{tenant_id} has a key already; nothing was made")
        return
    issued = issue_key(pepper)
    key = _new_key(document, issued)
    if output is not None:
        # Before it opens anything: a key that nobody has would be there for nothing.
        _write_secret(output, issued.text)
    run_with_brokers(until_alone(lambda: write_key(settings, tenant_id, key)))
    _show_once(key.id, issued, output, as_json)


@keys.command("list")
@_tenant_option
@_json_option
def list_command(tenant: str, as_json: bool) -> None:
    """List a tenant's keys: what they may, and until when; never the keys themselves.

    \b
    Exit codes: 0 done, 1 trouble with the brokers, 2 wrong options or settings.

    \b
    Examples:
      offertide keys list --tenant acme
      offertide keys list --tenant acme --json
    """
    from tables.catalogue_yaml import json_text

    found = run_with_brokers(keys_of(environment_settings(), checked_tenant(tenant)))
    if as_json:
        click.echo(json_text({"apiKeys": [_shown(key) for key in found]}), nl=False)
        return
    for key in found:
        scopes = ",".join(key.scopes) or "all"
        ends = "never ends" if key.expires_at is None else f"ends {key.expires_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{key.id}  {key.status:<8}  {key.role:<6}  {scopes}  {ends}  {key.name}")


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@_tenant_option
@click.option(
    "--overlap", type=Duration(none=True), default="1d", show_default=True, help="How long the old goes on."
)
@_json_option
def rotate_command(key_id: str, tenant: str, overlap: timedelta, as_json: bool) -> None:
    """Issue a new key in place of ID's, which goes on for the overlap (0 to 30d), and show it, once.

    \b
    Exit codes: 0 done, 1 trouble with the brokers, 2 wrong options or settings, or no active key ID.

    \b
    Examples:
      offertide keys rotate key_1a2b3c --tenant acme
      offertide keys rotate key_1a2b3c --tenant acme --overlap 0 --json
    """
    from tables.api_key_changes import OVERLAP_MAX_MS, rotated
    from tables.api_keys import issue_key

    settings, pepper = _settings()
    overlap_ms = round(overlap.total_seconds() * 1000)
    if overlap_ms > OVERLAP_MAX_MS:
        fail("--overlap is at most 30d", BAD_INPUT)
    issued = issue_key(pepper)
    tenant_id = checked_tenant(tenant)

    def rotate(key: ApiKey) -> ApiKey:
        return rotated(key, issued.credential, datetime.now(UTC), overlap_ms)

    run_with_brokers(until_alone(lambda: change_key(settings, tenant_id, key_id, rotate)))
    _show_once(key_id, issued, None, as_json)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@_tenant_option
def revoke_command(key_id: str, tenant: str) -> None:
    """Make ID's keys open nothing any more, on every worker within a second.

    \b
    Exit codes: 0 done, 1 trouble with the brokers, 2 wrong options or settings, or no active key ID.

    \b
    Examples:
      offertide keys revoke key_1a2b3c --tenant acme
    """
    from tables.api_key_changes import revoked

    settings, tenant_id = environment_settings(), checked_tenant(tenant)
    run_with_brokers(until_alone(lambda: change_key(settings, tenant_id, key_id, revoked)))
    click.echo(f"{key_id} is revoked")


def _new_key(document: dict[str, Any], issued: IssuedKey) -> ApiKey:
    import msgspec

    from app.decision.entities import ApiKey
    from app.decision.validation import load_entity

    key = load_entity("api-keys", {**document, "id": f"key_{secrets.token_hex(6)}"})
    if not isinstance(key, ApiKey):
        problems = key if isinstance(key, list) else []
        fail("\n".join(f"{one.path}: {one.message}" for one in problems), BAD_INPUT)
    return msgspec.structs.replace(key, credentials=(issued.credential,))


def _settings() -> tuple[Settings, str]:
    """The settings and the pepper; without one the program ends."""
    from config.settings import SettingsError

    settings = environment_settings()
    try:
        return settings, settings.pepper()
    except SettingsError as error:
        fail(str(error), BAD_INPUT)


def _shown(key: ApiKey) -> dict[str, Any]:
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(key)
    del shown["credentials"]
    return shown


def _write_secret(path: str, text: str) -> None:
    """Write a file that only its owner may read. An existing one is replaced."""
    try:
        Path(path).unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}; no key was made", BAD_INPUT)


def _show_once(key_id: str, issued: IssuedKey, output: str | None, as_json: bool) -> None:
    if output is not None:
        _say(as_json, {"created": True, "id": key_id, "file": output}, f"{key_id}: the key is in {output}")
        return
    click.echo(f"{key_id}: keep this key, it is shown once", err=True)
    _say(as_json, {"created": True, "id": key_id, "key": issued.text}, issued.text)


def _say(as_json: bool, document: dict[str, Any], sentence: str) -> None:
    from tables.catalogue_yaml import json_text

    click.echo(json_text(document).rstrip() if as_json else sentence)
