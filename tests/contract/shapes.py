"""Documented shapes: field by field, with the type that the reference documents show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: A type, or what a value must match; a tuple of them is any of them.
Shape = Any

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
NONE = type(None)
NUMBER = (int, float)
INSTANT = _INSTANT


def misfits(value: Any, shape: Shape, path: str = "$") -> list[str]:
    """Where a value is not of the shape: missing fields and other types. More fields than shown are fine."""
    if isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            return [f"{path} is no object"]
        found = [f"{path}.{name} is missing" for name in shape if name not in value]
        return found + [
            problem
            for name, part in shape.items()
            if name in value
            for problem in misfits(value[name], part, f"{path}.{name}")
        ]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path} is no array"]
        return [
            problem
            for index, one in enumerate(value)
            for problem in misfits(one, shape[0], f"{path}[{index}]")
        ]
    if isinstance(shape, re.Pattern):
        matches = isinstance(value, str) and shape.fullmatch(value) is not None
        return [] if matches else [f"{path} is {value!r}"]
    if isinstance(value, bool):
        allowed = shape if isinstance(shape, tuple) else (shape,)
        return [] if bool in allowed else [f"{path} is {value!r}"]
    return [] if isinstance(value, shape) else [f"{path} is {value!r}"]


QUICKSTART_DECISION: Shape = {
    "offerId": str,
    "offerName": str,
    "categoryName": str,
    "channelId": str,
    "channelName": str,
    "creativeId": str,
    "score": NUMBER,
    "rank": int,
    "content": {"subject": str, "body": str},
    "personalization": dict,
    "scoreExplanation": {"method": str, "priority": NUMBER, "finalScore": NUMBER},
}
QUICKSTART_RECOMMEND: Shape = {
    "recommendationId": str,
    "customerId": str,
    "count": int,
    "decisions": [QUICKSTART_DECISION],
    "meta": {"totalCandidates": int, "afterQualification": int, "degradedScoring": bool},
}
QUICKSTART_RESPOND: Shape = {
    "interactionId": str,
    "customerId": str,
    "outcome": str,
    "classification": str,
    "offerName": str,
    "status": str,
}
TUTORIAL_RECOMMENDATION: Shape = {
    "offerId": str,
    "offerName": str,
    "categoryId": str,
    "rank": int,
    "score": NUMBER,
    "channelId": str,
    "creativeId": str,
    "content": {"subject": str, "headline": str, "body": str, "ctaText": str, "ctaUrl": str},
    "personalization": {"personalized_rate": NUMBER, "annual_fee_waiver": bool, "bonus_points": NUMBER},
}
TUTORIAL_RECOMMEND: Shape = {
    "customerId": str,
    "recommendations": [TUTORIAL_RECOMMENDATION],
    "decisionFlowId": str,
    "traceId": str,
    "processedAt": INSTANT,
}
TUTORIAL_RESPOND: Shape = {
    "id": str,
    "customerId": str,
    "offerId": str,
    "channelId": str,
    "outcomeType": str,
    "creativeId": str,
    "traceId": str,
    "recordedAt": INSTANT,
}
TRACE: Shape = {
    "traceId": str,
    "customerId": str,
    "decisionFlowId": str,
    "stages": list,
    "totalDuration": NUMBER,
    "processedAt": INSTANT,
}
STAGES: dict[str, Shape] = {
    "enrich": {"duration": NUMBER, "input": {"customerId": str}, "output": dict},
    "compute": {"duration": NUMBER, "computed": dict},
    "filter": {"duration": NUMBER, "candidatesIn": int, "candidatesOut": int, "filtered": [str]},
    "score": {"duration": NUMBER, "scores": dict},
    "rank": {"duration": NUMBER, "finalOrder": [str]},
}
CAPTURE: Shape = {
    "interactionId": str,
    "recommendationId": (str, NONE),
    "customerId": str,
    "outcome": str,
    "classification": str,
    "rank": (int, NONE),
    "offerName": str,
    "creativeName": str,
    "channelName": str,
    "categoryName": str,
    "status": str,
    "timestamp": INSTANT,
}
INGEST: Shape = {
    "ingested": bool,
    "eventType": str,
    "customerId": str,
    "streamId": (str, NONE),
    "triggersMatched": list,
    "actionsDispatched": list,
}
ERROR: Shape = {"error": str, "code": str, "details": list, "requestId": str}
