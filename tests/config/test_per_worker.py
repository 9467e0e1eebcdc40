"""What each of several workers gets of the settings they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.per_worker import per_worker
from config.settings import Settings, SettingsError


def test_one_worker_gets_the_settings_as_they_are() -> None:
    settings = Settings(advertised_url="http://offers.example")
    assert per_worker(settings, 1) == (settings,)


def test_each_has_its_port_and_its_folder_and_shares_the_rest() -> None:
    shared = Settings(app_id="shop", web_port=9000, data_dir=Path("/srv"))
    workers = per_worker(shared, 3)
    assert [one.web_port for one in workers] == [9000, 9001, 9002]
    assert [str(one.data_dir) for one in workers] == ["/srv/worker-0", "/srv/worker-1", "/srv/worker-2"]
    assert [one.worker_url for one in workers] == [f"http://127.0.0.1:{port}" for port in (9000, 9001, 9002)]
    assert {one.app_id for one in workers} == {"shop"}


@pytest.mark.parametrize(
    ("shared", "second"),
    [
        ("http://10.0.0.7:8080", "http://10.0.0.7:8081"),
        ("https://offers.example:65534", "https://offers.example:65535"),
        ("http://[fd00::7]:9000", "http://[fd00::7]:9001"),
    ],
)
def test_each_is_advertised_at_the_next_port(shared: str, second: str) -> None:
    first, last = per_worker(Settings(advertised_url=shared, web_port=100), 2)
    assert (first.advertised_url, last.advertised_url) == (shared, second)


@pytest.mark.parametrize(
    ("web_port", "advertised_url", "blamed"),
    [
        (65_534, None, []),
        (65_535, None, ["OFFERTIDE_WEB_PORT: 65535 given, allowed is at most 65534"]),
        (8080, "http://offers.example", ["OFFERTIDE_ADVERTISED_URL: http://offers.example given"]),
        (8080, "http://[fd00::7]", ["OFFERTIDE_ADVERTISED_URL: http://[fd00::7] given"]),
        (8080, "http://offers.example:65535", ["OFFERTIDE_ADVERTISED_URL: http://offers.example:65535"]),
        (65_535, "http://offers.example", ["OFFERTIDE_WEB_PORT", "OFFERTIDE_ADVERTISED_URL"]),
    ],
)
def test_ports_that_cannot_be_counted_on_are_refused(
    web_port: int, advertised_url: str | None, blamed: list[str]
) -> None:
    settings = Settings(web_port=web_port, advertised_url=advertised_url)
    if not blamed:
        assert len(per_worker(settings, 2)) == 2
        return
    with pytest.raises(SettingsError) as caught:
        per_worker(settings, 2)
    for problem, begin in zip(caught.value.problems, blamed, strict=True):
        assert problem.startswith(begin)


def test_each_has_its_own_port_for_operations() -> None:
    workers = per_worker(Settings(web_port=8080, ops_port=9090), 3)
    assert [one.ops_port for one in workers] == [9090, 9091, 9092]
    assert [one.binds for one in workers] == [
        (("127.0.0.1", 8080 + i), ("127.0.0.1", 9090 + i)) for i in range(3)
    ]


@pytest.mark.parametrize("ops_port", [8079, 8081, 8078, 8082])
def test_ports_of_workers_that_would_meet_are_refused(ops_port: int) -> None:
    settings = Settings(web_port=8080, ops_port=ops_port)
    if abs(ops_port - 8080) >= 2:
        assert len(per_worker(settings, 2)) == 2
    with pytest.raises(SettingsError) as caught:
        per_worker(settings, 3)
    assert caught.value.problems[0].startswith(f"OFFERTIDE_OPS_PORT: {ops_port} given")


def test_operations_past_the_last_port_are_refused() -> None:
    with pytest.raises(SettingsError, match="OFFERTIDE_OPS_PORT: 65535 given, allowed is at most 65534"):
        per_worker(Settings(ops_port=65_535), 2)
