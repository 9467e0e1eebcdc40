"""Settings: what they read, what they refuse and how they say so."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.setting_types import Secret, is_loopback
from config.settings import Settings, SettingsError, default_data_dir, settings_table
from config.settings_page import settings_page

ROOT = Path(__file__).parents[2]
HOME = {"HOME": "/home/someone"}
PEPPER = "p" * 32


def problems(**variables: str) -> tuple[str, ...]:
    """What ``from_env`` refuses, for variables given without their prefix."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env(**variables))
    return caught.value.problems


def env(**variables: str) -> dict[str, str]:
    return HOME | {f"OFFERTIDE_{name}": value for name, value in variables.items()}


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_env({})
    assert settings == Settings()
    assert (settings.partitions, settings.broker) == (24, "127.0.0.1:9092")


def test_every_default_is_a_value_that_its_own_variable_allows() -> None:
    for setting in settings_table():
        if setting.default:
            Settings.from_env({"HOME": "/h", setting.name: setting.default})


def test_each_kind_of_value_is_read() -> None:
    settings = Settings.from_env(
        env(
            PARTITIONS="12",
            BROKER="kafka-1:9092, kafka-2:9093,[::1]:9094",
            DATA_DIR="/srv/offertide",
            ADVERTISED_URL="http://10.0.0.7:8080/",
            API_KEY_PEPPER=PEPPER,
            REDIS_URL="redis://:hush@cache:6379/0",
            LOG_LEVEL="WARNING",
            LOG_FORMAT="json",
        )
    )
    assert settings.partitions == 12
    assert settings.bootstrap_servers == ("kafka-1:9092", "kafka-2:9093", "[::1]:9094")
    assert settings.data_dir == Path("/srv/offertide")
    assert settings.advertised_url == settings.worker_url == "http://10.0.0.7:8080"
    assert settings.api_key_pepper == Secret(PEPPER)
    assert settings.redis_url is not None
    assert settings.redis_url.reveal() == "redis://:hush@cache:6379/0"
    assert (settings.log_level, settings.log_format) == ("warning", "json")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_env(env(PARTITIONS="", REDIS_URL="  ")) == Settings.from_env(HOME)


def test_all_wrong_variables_are_named_at_once() -> None:
    found = problems(
        PARTITIONS="0", WEB_PORT="http", LOG_FORMAT="xml", BATCH_MAX_RECORDS="1e9", PARTITION="3"
    )
    assert len(found) == 5
    assert "OFFERTIDE_PARTITIONS: '0' given, allowed is a whole number from 1 to 1000" in found
    assert "OFFERTIDE_LOG_FORMAT: 'xml' given, allowed is auto or json or console" in found
    assert "OFFERTIDE_PARTITION: unknown, the closest setting is OFFERTIDE_PARTITIONS" in found


def test_the_message_holds_every_problem_on_a_line_of_its_own() -> None:
    with pytest.raises(SettingsError, match="2 settings are wrong") as caught:
        Settings.from_env(env(PARTITIONS="none", REPLICAS="8"))
    assert len(str(caught.value).splitlines()) == 3


def test_variables_of_other_programs_are_no_concern() -> None:
    assert Settings.from_env(HOME | {"PARTITIONS": "x", "KAFKA_BROKER": "y"}) == Settings.from_env(HOME)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("APP_ID", "a b"),
        ("APP_ID", "a" * 101),
        ("BROKER", "kafka"),
        ("BROKER", "kafka:0"),
        ("BROKER", "kafka:65536"),
        ("BROKER", "kafka:9092,"),
        ("BROKER", "::1:9092"),
        ("BROKER", "kafka:٣"),
        ("PARTITIONS", "1001"),
        ("PARTITIONS", "12.5"),
        ("PARTITIONS", "-1"),
        ("WEB_PORT", "65536"),
        ("WEB_HOST", "http://localhost"),
        ("WEB_HOST", "a/b"),
        ("ADVERTISED_URL", "10.0.0.7:8080"),
        ("ADVERTISED_URL", "http://host:99999"),
        ("ADVERTISED_URL", "http://host/path"),
        ("ADVERTISED_URL", "http://"),
        ("AUTH_MODE", "none"),
        ("IDEMPOTENT_PRODUCER", "maybe"),
        ("FETCH_WAIT_MS", "0"),
        ("REDIS_URL", "http://cache"),
        ("API_KEY_PEPPER", "short"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, text: str) -> None:
    (found,) = problems(**{name: text})
    assert found.startswith(f"OFFERTIDE_{name}: ")
    assert "allowed is" in found


@given(st.sampled_from([setting.name for setting in settings_table()]), st.text(max_size=200))
def test_no_text_does_worse_than_a_settings_error(name: str, text: str) -> None:
    with contextlib.suppress(SettingsError):
        Settings.from_env({"HOME": "/h", name: text})


@pytest.mark.parametrize(
    ("variables", "blamed"),
    [
        ({"HEARTBEAT_INTERVAL_MS": "3334"}, "HEARTBEAT_INTERVAL_MS"),
        ({"SESSION_TIMEOUT_MS": "10001"}, "REBALANCE_TIMEOUT_MS"),
        ({"MIN_INSYNC_REPLICAS": "2"}, "MIN_INSYNC_REPLICAS"),
        ({"AUTH_MODE": "sandbox", "WEB_HOST": "0.0.0.0"}, "WEB_HOST"),
        ({"AUTH_MODE": "sandbox", "WEB_HOST": "::"}, "WEB_HOST"),
        ({"AUTH_MODE": "sandbox", "WEB_HOST": "worker.example"}, "WEB_HOST"),
        ({"IDEMPOTENT_PRODUCER": "false", "BROKER": "kafka:9092"}, "IDEMPOTENT_PRODUCER"),
        ({"IDEMPOTENT_PRODUCER": "false", "REPLICAS": "3"}, "IDEMPOTENT_PRODUCER"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(variables: dict[str, str], blamed: str) -> None:
    (found,) = problems(**variables)
    assert found.startswith(f"OFFERTIDE_{blamed}: ")


def test_sandbox_off_loopback_says_why() -> None:
    (found,) = problems(AUTH_MODE="sandbox", WEB_HOST="0.0.0.0")
    assert "a loopback address such as 127.0.0.1" in found
    assert "OFFERTIDE_AUTH_MODE=sandbox" in found


def test_a_contradiction_is_reported_beside_wrong_values_but_not_because_of_one() -> None:
    assert len(problems(PARTITIONS="0", MIN_INSYNC_REPLICAS="2")) == 2
    assert len(problems(REPLICAS="none", MIN_INSYNC_REPLICAS="2")) == 1


def test_settings_built_in_code_must_agree_too() -> None:
    with pytest.raises(SettingsError, match="OFFERTIDE_WEB_HOST"):
        Settings(auth_mode="sandbox", web_host="0.0.0.0")
    with pytest.raises(SettingsError, match="OFFERTIDE_REBALANCE_TIMEOUT_MS"):
        msgspec.structs.replace(Settings(), session_timeout_ms=60_000)


def test_the_embedded_broker_may_go_without_an_idempotent_producer() -> None:
    assert not Settings.from_env(
        env(IDEMPOTENT_PRODUCER="false", BROKER="127.0.0.1:40123")
    ).idempotent_producer


def test_settings_cannot_change() -> None:
    with pytest.raises(AttributeError):
        Settings().partitions = 3  # type: ignore[misc]


def test_secrets_show_nowhere() -> None:
    settings = Settings.from_env(env(API_KEY_PEPPER=PEPPER, REDIS_URL="redis://:hush@cache"))
    for shown in (
        repr(settings),
        str(settings.redis_url),
        f"{settings.redis_url}",
        f"{settings.redis_url!r:>9}",
    ):
        assert "hush" not in shown
        assert PEPPER not in shown
    assert settings.redis_url != Secret("redis://:hash@cache")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REDIS_URL", "amqp://:hush@cache"),
        ("REDIS_URL", "redis://:hush@cache:hush"),
        ("API_KEY_PEPPER", "hush"),
        ("ADVERTISED_URL", "http://me:hush@host"),
        ("BROKER", "me:hush@kafka:9092"),
    ],
)
def test_a_refusal_repeats_no_secret(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env(**{name: text}))
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_stores_lie_in_the_platforms_folder_for_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_data_dir(HOME) == Path("/home/someone/.local/state/offertide")
    assert default_data_dir(HOME | {"XDG_STATE_HOME": "/state"}) == Path("/state/offertide")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_data_dir(HOME) == Path("/home/someone/Library/Application Support/offertide")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("kafka", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_worker_url_follows_the_bound_address() -> None:
    assert Settings(web_port=9).worker_url == "http://127.0.0.1:9"
    assert Settings.from_env(env(WEB_HOST="[::1]")).worker_url == "http://[::1]:8080"


def test_every_setting_says_what_it_does_and_what_is_allowed() -> None:
    assert [setting.field for setting in settings_table()] == list(Settings.__struct_fields__)
    for setting in settings_table():
        assert setting.description.endswith(".")
        assert "\n" not in setting.description
        assert setting.allowed
        counted = setting.allowed.startswith("a whole number")
        assert bool(setting.unit) is counted


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()


def test_the_module_prints_the_page() -> None:
    command = [sys.executable, "-m", "config.settings_page"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert printed.stdout.decode("utf-8") == settings_page()


def test_an_environment_made_of_settings_gives_them_back() -> None:
    settings = Settings(
        broker="127.0.0.1:1", idempotent_producer=False, api_key_pepper=Secret("p" * 32), data_dir=Path("/x")
    )
    made = settings.environment({"HOME": "/home/x", "OFFERTIDE_BROKER": "elsewhere:1"})
    assert made["HOME"] == "/home/x"
    assert Settings.from_env(made) == settings


def test_mode_and_pepper_are_read_under_their_short_names_too() -> None:
    settings = Settings.from_env(HOME | {"AUTH_MODE": "sandbox", "API_KEY_PEPPER": PEPPER})
    assert (settings.auth_mode, settings.pepper()) == ("sandbox", PEPPER)


def test_two_names_of_one_setting_must_agree() -> None:
    assert Settings.from_env(env(API_KEY_PEPPER=PEPPER) | {"API_KEY_PEPPER": PEPPER}).pepper() == PEPPER
    with pytest.raises(SettingsError, match="differs from API_KEY_PEPPER") as caught:
        Settings.from_env(env(API_KEY_PEPPER=PEPPER) | {"API_KEY_PEPPER": "q" * 32})
    assert PEPPER not in str(caught.value)


def test_keys_without_a_pepper_say_how_to_make_one() -> None:
    with pytest.raises(SettingsError, match="openssl rand -hex 32"):
        Settings().pepper()


def test_an_environment_made_of_settings_has_one_name_for_each() -> None:
    made = Settings(auth_mode="sandbox").environment({"AUTH_MODE": "api_key", "API_KEY_PEPPER": PEPPER})
    assert "AUTH_MODE" not in made
    assert "API_KEY_PEPPER" not in made
