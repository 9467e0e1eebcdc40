"""GET /health, /ready and /metrics."""

from __future__ import annotations

from pathlib import Path

from app.child import free_ports
from tables.partition import Phase
from tests.web.harness import HEADERS, NOW_MS, PARTITIONS, Client, Worker, running
from tests.web.raw import connect
from web.view import Answer, to_response


async def test_ready_when_the_catalogue_and_every_owned_partition_are(client: Client) -> None:
    response = await client.get("/ready")
    assert response.status == 200
    body = await response.json()
    assert body == {
        "ready": True,
        "catalogueReady": True,
        "catalogueVersion": 7,
        "scoreboardReady": True,
        "partitionsOwned": PARTITIONS,
        "partitionsReady": PARTITIONS,
        "notReady": [],
    }


async def test_what_is_not_ready_is_listed_with_phase_and_reason(worker: Worker, client: Client) -> None:
    partition = worker.partitions.get(2)
    assert partition is not None
    partition.phase, partition.reason = Phase.RECOVERING, "reading its changelog"
    response = await client.get("/ready")
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    body = await response.json()
    assert (body["ready"], body["code"]) == (False, "NOT_READY")
    assert body["notReady"] == [{"partition": 2, "phase": "recovering", "reason": "reading its changelog"}]
    assert body["partitionsReady"] == PARTITIONS - 1
    assert body["requestId"] == response.headers["X-Request-Id"]


async def test_a_partition_of_which_kafka_is_silent_is_listed(worker: Worker, client: Client) -> None:
    partition = worker.partitions.get(1)
    assert partition is not None
    partition.heard_ms = NOW_MS - worker.settings.session_timeout_ms
    assert (await client.get("/ready")).status == 200
    worker.now_ms += 1
    response = await client.get("/ready")
    silent_s = worker.settings.session_timeout_ms // 1000
    assert response.status == 503
    assert (await response.json())["notReady"] == [
        {"partition": 1, "phase": "silent", "reason": f"Kafka has not answered for {silent_s} s"}
    ]
    metrics = await (await client.get("/metrics")).text()
    assert f"offertide_kafka_silence_seconds {silent_s}.001" in metrics


async def test_not_ready_without_a_catalogue_or_partitions(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    async with worker.client() as client:
        nothing_owned = await client.get("/ready")
        worker.catalogue_ready = False
        no_catalogue = await client.get("/ready")
        assert (nothing_owned.status, no_catalogue.status) == (503, 503)
        assert "has not given" in (await nothing_owned.json())["error"]
        assert "catalogue" in (await no_catalogue.json())["error"]
        assert (await client.get("/health")).status == 200


async def test_a_worker_that_got_no_partition_is_ready_and_one_that_has_not_taken_its_own_is_not(
    tmp_path: Path,
) -> None:
    worker = Worker(tmp_path)
    async with worker.client() as client:
        worker.owners = dict.fromkeys(range(PARTITIONS), "http://127.0.0.1:1")
        spare = await client.get("/ready")
        assert (spare.status, (await spare.json())["partitionsOwned"]) == (200, 0)
        worker.owners[2] = worker.settings.worker_url
        taking = await client.get("/ready")
        assert (taking.status, [one["partition"] for one in (await taking.json())["notReady"]]) == (503, [2])


async def test_every_state_backed_path_waits_for_its_partition(worker: Worker, client: Client) -> None:
    worker.know("ann")
    trace = "trc_0_1a3185c5000_0123456789ab"
    for partition in worker.partitions:
        partition.phase, partition.reason = Phase.FOLDING, "kafka-7 refused connection"
    calls = [
        ("POST", "/api/v1/recommend", {"customerId": "ann"}),
        ("POST", "/api/v1/respond", {"customerId": "ann", "offerId": "vinyl", "outcomeType": "click"}),
        ("POST", "/api/v1/capture", {"customerId": "ann", "offerId": "vinyl", "outcomeType": "click"}),
        ("PUT", "/api/v1/customers/ann", {}),
        ("GET", "/api/v1/customers/ann", None),
        ("GET", f"/api/v1/decision-traces/{trace}", None),
    ]
    for method, path, body in calls:
        response = await client.request(method, path, json=body, headers=HEADERS)
        text = await response.text()
        assert (response.status, response.headers.get("Retry-After")) == (503, "1"), (path, text)
        assert "NOT_READY" in text
        assert "kafka-7" not in text


async def test_metrics_are_prometheus_text_and_count_by_route(client: Client) -> None:
    await client.get("/api/v1/customers/some-customer", headers=HEADERS)
    response = await client.get("/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = await response.text()
    line = (
        'offertide_http_requests_total{method="GET",route="/api/v1/customers/{customerId}",status="404"} 1.0'
    )
    assert line in text
    assert "some-customer" not in text
    assert 'offertide_partition_ready{partition="0"} 1.0' in text
    assert "offertide_catalogue_version 7.0" in text


async def test_health_says_that_the_process_is_alive(client: Client) -> None:
    response = await client.get("/health")
    assert (response.status, await response.json()) == (200, {"status": "alive"})
    assert (await client.head("/health")).status == 200


async def test_operations_with_a_bind_of_their_own_are_there_and_nowhere_else(tmp_path: Path) -> None:
    with running(tmp_path, ops_port=free_ports(1)[0]) as worker:
        async with worker.client() as api:
            operations = worker.operations
            assert operations is not None
            for path in ("/health", "/ready", "/metrics"):
                assert (await operations.get(path)).status == 200
                hidden = await api.get(path)
                assert (hidden.status, (await hidden.json())["code"]) == (404, "NOT_FOUND")
            for path in ("/api/v1/topology", "/api/v1/recommend", "/nothing"):
                assert (await operations.get(path, headers=HEADERS)).status == 404
            assert (await operations.post("/health")).status == 405
            worker.owners = dict.fromkeys(range(PARTITIONS), "http://127.0.0.1:1")
            assert (await api.get("/api/v1/topology", headers=HEADERS)).status == 200


async def test_operations_on_their_own_bind_answer_when_the_api_is_full(tmp_path: Path) -> None:
    with running(tmp_path, ops_port=free_ports(1)[0], max_connections=10) as worker:
        async with worker.client() as api:
            full = [await connect(api) for _ in range(10)]
            assert [one.status for one in await (await connect(api)).answers()] == [503]
            assert worker.operations is not None
            assert (await worker.operations.get("/health")).status == 200
            for raw in full:
                await raw.close()


async def test_the_topology_is_for_callers_that_say_who_they_are(client: Client) -> None:
    response = await client.get("/api/v1/topology")
    assert (response.status, (await response.json())["code"]) == (401, "UNAUTHORIZED")


async def test_every_answer_says_that_it_is_data_and_not_which_server_gave_it(client: Client) -> None:
    for method, path in (
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("PUT", "/health"),
        ("POST", "/api/v1/recommend"),
        ("GET", "/api/v1/customers/nobody"),
    ):
        headers = (await client.request(method, path, headers=HEADERS)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Server"] == "offertide"
        assert "Access-Control-Allow-Origin" not in headers


def test_what_an_answer_says_itself_replaces_the_headers_of_every_answer() -> None:
    page = Answer(b"<p>", 200, {"Content-Security-Policy": "default-src 'self'"}, "text/html; charset=utf-8")
    headers = to_response(page, "mine").headers
    assert headers.getall("Content-Security-Policy") == ["default-src 'self'"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert (
        to_response(Answer(b"{}"), "mine").headers["Content-Security-Policy"].startswith("default-src 'none'")
    )
