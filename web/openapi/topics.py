"""The AsyncAPI 3.0 document of the topics, from the Structs that records are read into or written from.

`python -m web.openapi.topics > docs/asyncapi.json` writes the copy that is kept with the project.

1.  Every topic that the program creates is in it; those that only Offertide reads are named and no more.
2.  Payloads are in AsyncAPI's own schema language, which is JSON Schema draft 7 and a little more.
"""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any

import msgspec

from config.topics import changelog_topic, topic_names, topic_specs
from web.openapi.channels import INTERNAL, OPEN, Channel
from web.openapi.schemas import Schemas

_ABOUT = """\
The records of Offertide. Values are JSON in UTF-8.

`events`, `responses` and `profiles` are open to every producer: use the key `tenant:customer` and, if you can
choose, the partitioner murmur2, as Kafka's Java client does (librdkafka: `partitioner=murmur2_random`).
Records that another partitioner put elsewhere are moved, and counted once all the same. Any compression codec
and any header will do. What cannot be folded goes to `dead-letters`. Readers are `read_committed`. Unknown
fields are ignored.
"""

_BINDING = "0.5.0"
#: Keys of records of a customer.
_CUSTOMER_KEY = {"type": "string", "pattern": "^[a-z0-9-]{1,64}:[\\s\\S]{1,256}$", "examples": ["demo:C-1"]}


@functools.lru_cache(maxsize=4)
def asyncapi_json(app_id: str = "offertide") -> bytes:
    """The document's JSON for this application's topics."""
    return msgspec.json.encode(asyncapi_document(app_id))


def asyncapi_document(app_id: str) -> dict[str, Any]:
    """The document of all topics of an application."""
    answers = [one.payload for one in OPEN.values() if not one.taken]
    schemas = Schemas(
        [kind for kind in answers if kind is not None], [one.payload for one in OPEN.values() if one.taken]
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Offertide's records",
            "version": version("offertide"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka"}},
        "channels": _channels(app_id),
        "operations": {_operation_name(name, one): _operation(name, one) for name, one in OPEN.items()},
        "components": {
            "messages": {name: _message(one, schemas) for name, one in OPEN.items()},
            "schemas": {name: _draft_7(schema) for name, schema in schemas.components().items()},
        },
    }


def _channels(app_id: str) -> dict[str, Any]:
    names = {**topic_names(app_id), "changelog": changelog_topic(app_id)}
    configs = {spec.name: spec.config for spec in topic_specs(app_id, 1, 1, 1)}
    found: dict[str, Any] = {}
    for name, topic in names.items():
        said: dict[str, Any] = {"address": topic, "bindings": {"kafka": _topic(topic, configs[topic])}}
        if name in OPEN:
            said["description"] = OPEN[name].description
            said["messages"] = {name: {"$ref": f"#/components/messages/{name}"}}
        else:
            said |= {"description": INTERNAL[name], "messages": {}, "x-internal": True}
        found[name] = said
    return found


def _topic(topic: str, config: dict[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"cleanup.policy": [config.get("cleanup.policy", "delete")]}
    if "retention.ms" in config:
        shown["retention.ms"] = int(config["retention.ms"])
    return {"topic": topic, "topicConfiguration": shown, "bindingVersion": _BINDING}


def _operation_name(name: str, channel: Channel) -> str:
    words = "".join(word.capitalize() for word in name.split("-"))
    return ("receive" if channel.taken else "send") + words


def _operation(name: str, channel: Channel) -> dict[str, Any]:
    return {
        "action": "receive" if channel.taken else "send",
        "summary": channel.summary,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


def _message(channel: Channel, schemas: Schemas) -> dict[str, Any]:
    key = _CUSTOMER_KEY if channel.key is None else {"type": "string", "description": channel.key}
    shown: dict[str, Any] = {
        "summary": channel.summary,
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
    }
    if channel.payload is None:
        shown["contentType"] = "application/octet-stream"
    else:
        schema = schemas.request(channel.payload) if channel.taken else schemas.answer(channel.payload)
        shown["payload"] = _draft_7(schema)
    if channel.headers:
        properties = {name: {"type": "string", "description": said} for name, said in channel.headers.items()}
        shown["headers"] = {"type": "object", "properties": properties, "required": list(channel.required)}
    if channel.example is not None:
        shown["examples"] = [{"payload": channel.example}]
    return shown


def _draft_7(schema: Any) -> Any:
    """The schema as draft 7 says it: tuples are the one difference in what msgspec makes."""
    if isinstance(schema, list):
        return [_draft_7(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    said = {name: _draft_7(one) for name, one in schema.items()}
    if "prefixItems" in said:
        more = said.pop("items", True)
        said |= {"items": said.pop("prefixItems"), "additionalItems": more}
    if isinstance(said.get("discriminator"), dict):
        # OpenAPI's; AsyncAPI has a name alone there, and finds the schema by its title.
        del said["discriminator"]
    return said


if __name__ == "__main__":
    print(msgspec.json.format(asyncapi_json(), indent=1).decode())
