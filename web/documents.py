"""GET /openapi.json and /asyncapi.json: what the API and the topics are, made from the code at the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from web.access import Operation, Parameter, for_operators
from web.cached import Cached
from web.forwarding import own_url
from web.openapi.document import openapi_json
from web.openapi.topics import asyncapi_json
from web.view import Answer, ApiView, Call

IF_NONE_MATCH = Parameter("If-None-Match", str, "The `ETag` of the copy that the caller has.", place="header")


def document_operation(summary: str, answer: Any, *types: str, errors: tuple[int, ...] = ()) -> Operation:
    """Reading something that does not change while the worker runs."""
    return for_operators(
        summary,
        answer=answer,
        answer_types=types or ("application/json",),
        statuses={200: "Here it is.", 304: "It is what the caller has."},
        parameters=(IF_NONE_MATCH,),
        errors=errors,
        headers=("ETag",),
    )


class OpenapiView(ApiView):
    """The OpenAPI document of every path."""

    view_name = "openapi"
    view_path = "/openapi.json"
    operational = True
    #: All views, this one included.
    contract: ClassVar[tuple[type[ApiView], ...]]
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": document_operation("The OpenAPI document of this API.", dict[str, Any])
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = self.engine.settings
        # On a bind of their own, operations do not answer the API's paths.
        url = "/" if settings.ops_port is None else own_url(settings)
        self._document = Cached(openapi_json(self.contract, url))

    async def get(self, call: Call) -> Answer:
        return self._document.answer(call)


class AsyncapiView(ApiView):
    """The AsyncAPI document of the topics."""

    view_name = "asyncapi"
    view_path = "/asyncapi.json"
    operational = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": document_operation("The AsyncAPI document of the topics.", dict[str, Any])
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._document = Cached(asyncapi_json(self.engine.settings.app_id))

    async def get(self, call: Call) -> Answer:
        return self._document.answer(call)
