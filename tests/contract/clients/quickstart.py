"""The calls of the quickstart in Python: requests, three headers, raise_for_status."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import requests
from requests.exceptions import HTTPError

BASE_URL = os.environ["BASE_URL"]
HEADERS = {
    "Content-Type": "application/json",
    "X-Tenant-Id": os.environ["TENANT_ID"],
    "X-API-Key": os.environ["API_KEY"],
    "X-Requested-With": "XMLHttpRequest",
}


def _post(path: str, fields: dict[str, Any]) -> Any:
    response = requests.post(f"{BASE_URL}{path}", headers=HEADERS, json=fields)
    response.raise_for_status()
    return response.json()


def recommend(customer: str, limit: Any = 3) -> Any:
    """What to offer."""
    return _post("/api/v1/recommend", {"customerId": customer, "limit": limit})


def respond(customer: str, creative: str, channel: str, outcome: str) -> Any:
    """Say what came of it."""
    fields = {"customerId": customer, "creativeId": creative, "channelId": channel, "outcome": outcome}
    return _post("/api/v1/respond", {**fields, "idempotencyKey": f"{outcome}-{int(time.time())}"})


def failure(customer: str, limit: Any) -> str | None:
    """What a client prints of a recommend that fails."""
    try:
        recommend(customer, limit)
    except HTTPError as error:
        return f"API error ({error.response.status_code}): {error.response.json().get('error', 'Unknown')}"
    return None


def main(customer: str, bad_customer: str) -> None:
    recommended = recommend(customer)
    first = recommended["decisions"][0]
    outcomes = ("impression", "click", "accept", "dismiss", "convert")
    told = {
        "recommended": recommended,
        "responses": [respond(customer, first["creativeId"], first["channelId"], one) for one in outcomes],
        "unknown": failure(bad_customer, 3),
        "invalid": failure(customer, "web"),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
