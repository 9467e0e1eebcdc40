"""The AsyncAPI document: valid, of every topic, and as records are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from app.decision.records import decode_event, decode_profile, decode_response
from app.decision.refusals import Refused
from config.topics import topic_specs
from web.openapi.channels import OPEN
from web.openapi.topics import asyncapi_document

DOCUMENT: dict[str, Any] = json.loads(json.dumps(asyncapi_document("offertide")))
#: As the npm package @asyncapi/specs 6.11.1 has it (schemas/3.0.0.json, Apache-2.0).
SPECIFICATION = Path(__file__).parent / "asyncapi-3.0.0.json"

DECODERS = {"events": decode_event, "responses": decode_response, "profiles": decode_profile}
SAID: dict[str, Any] = {"tenantId": "demo", "customerId": "C-1"}


def errors(topic: str, value: Any) -> list[str]:
    schema = {**DOCUMENT["components"]["messages"][topic]["payload"], "components": DOCUMENT["components"]}
    return [error.message for error in Draft7Validator(_local(schema)).iter_errors(value)]


def _local(schema: dict[str, Any]) -> dict[str, Any]:
    """Draft 7 looks at nothing beside a reference: what it refers to takes its place."""
    name = schema["$ref"].rpartition("/")[2]
    return {**DOCUMENT["components"]["schemas"][name], "components": schema["components"]}


def test_it_is_valid_asyncapi_3() -> None:
    specification = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
    Draft7Validator(specification).validate(DOCUMENT)
    broken = {**DOCUMENT, "channels": {"events": {"adress": "events"}}}
    assert not Draft7Validator(specification).is_valid(broken)


def test_every_topic_that_is_created_is_in_it_and_no_other() -> None:
    created = {spec.name for spec in topic_specs("offertide", 8, 1, 1)}
    assert {one["address"] for one in DOCUMENT["channels"].values()} == created


def test_topics_of_another_application_have_its_prefix() -> None:
    channels = asyncapi_document("mine")["channels"]
    assert channels["events"]["address"] == "mine.events"
    assert channels["changelog"]["address"] == "mine-customers-changelog"


def test_only_what_others_may_use_has_messages() -> None:
    spoken = {name for name, one in DOCUMENT["channels"].items() if one["messages"]}
    assert spoken == OPEN.keys()
    assert all(DOCUMENT["channels"][name]["x-internal"] for name in DOCUMENT["channels"].keys() - spoken)


def test_what_others_write_is_received_and_the_rest_sent() -> None:
    actions = {
        one["channel"]["$ref"].rpartition("/")[2]: one["action"] for one in DOCUMENT["operations"].values()
    }
    assert {name for name, action in actions.items() if action == "receive"} == DECODERS.keys()


@pytest.mark.parametrize("topic", DECODERS)
def test_examples_are_taken_by_the_document_and_the_fold(topic: str) -> None:
    (example,) = DOCUMENT["components"]["messages"][topic]["examples"]
    assert not errors(topic, example["payload"])
    assert not isinstance(DECODERS[topic](json.dumps(example["payload"]).encode()), Refused)


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        ("events", SAID),
        ("events", {"customerId": "C-1", "type": "purchase"}),
        ("events", {**SAID, "type": "purchase", "data": 1}),
        ("responses", {**SAID, "offerId": "o"}),
        ("responses", {**SAID, "outcome": "click", "idempotencyKey": "k"}),
        ("profiles", {**SAID, "consent": {"email": "maybe"}}),
        ("profiles", {"tenantId": "demo"}),
    ],
)
def test_what_the_fold_refuses_the_document_refuses(topic: str, value: Any) -> None:
    assert isinstance(DECODERS[topic](json.dumps(value).encode()), Refused)
    assert errors(topic, value)


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        ("events", {**SAID, "eventType": "video_watched", "properties": {}, "more": 1}),
        ("responses", {**SAID, "outcomeType": "click", "traceId": "t", "offerId": "o"}),
        ("profiles", {**SAID, "replace": True, "tags": ["vip"]}),
    ],
)
def test_what_the_fold_takes_the_document_takes(topic: str, value: Any) -> None:
    assert not isinstance(DECODERS[topic](json.dumps(value).encode()), Refused)
    assert not errors(topic, value)


def test_dead_letters_say_why_in_headers() -> None:
    headers = DOCUMENT["components"]["messages"]["dead-letters"]["headers"]
    assert set(headers["required"]) == {"offertide-origin", "offertide-reason", "offertide-problems"}
