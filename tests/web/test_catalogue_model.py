"""A random sequence of edits beside a model that is a dictionary: each answer and every list agree."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.decision.catalogue import CatalogSnapshot
from tests.web.harness import HEADERS, running
from tests.web.test_fuzz import Served

API = "/api/v1"
SENT = {**HEADERS, "Content-Type": "application/json"}

NAMES = st.sampled_from(["a", "b", "c"])
KEYS = st.sampled_from([None, "a", "k1", "k2"])
STATUSES = st.sampled_from(["draft", "active", "paused", "archived"])
VERSIONS = st.sampled_from([None, None, "own", 1, 7])


class Shelves(RuleBasedStateMachine):
    """Categories, and offers in them: `model` is what should be there, by (kind, id)."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[tuple[str, str], dict[str, Any]] = {}

    @initialize()
    def begin(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._running = running(Path(self._folder.name))
        worker = self._running.__enter__()
        worker.catalogue = CatalogSnapshot()
        self.served = Served(worker)

    def teardown(self) -> None:
        self.served.close()
        self._running.__exit__(None, None, None)
        self._folder.cleanup()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        return self.served.answer(method, f"{API}{path}", data=data, headers={**SENT, **headers})

    def owner(self, kind: str, name: str | None) -> str | None:
        """The id of what a name means."""
        if name is None:
            return None
        if (kind, name) in self.model:
            return name
        return next((i for (of, i), one in self.model.items() if of == kind and one["key"] == name), None)

    def clash(self, kind: str, name: str | None, own: str | None) -> bool:
        return self.owner(kind, name) not in (None, own)

    def users(self, entity_id: str) -> list[str]:
        return [
            i
            for (kind, i), one in self.model.items()
            if kind == "offers" and self.owner("categories", one["categoryId"]) == entity_id
        ]

    @rule(entity_id=NAMES, key=KEYS, status=STATUSES)
    def add_category(self, entity_id: str, key: str | None, status: str) -> None:
        self.add("categories", {"id": entity_id, "key": key, "name": "C", "status": status}, 400)

    @rule(entity_id=NAMES, key=KEYS, status=STATUSES, category=NAMES | st.just("k1"))
    def add_offer(self, entity_id: str, key: str | None, status: str, category: str) -> None:
        body = {"id": entity_id, "key": key, "name": "O", "status": status, "categoryId": category}
        self.add("offers", body, 201 if self.owner("categories", category) else 400)

    def add(self, kind: str, body: dict[str, Any], sound: int) -> None:
        sound = 201 if kind == "categories" else sound
        taken = self.owner(kind, body["id"]) is not None or self.owner(kind, body["key"]) is not None
        status, answer = self.send("POST", f"/{kind}", body)
        assert status == (409 if taken else sound), answer
        if status == 201:
            assert answer["version"] == 1
            self.model[kind, body["id"]] = answer

    @rule(
        kind=st.sampled_from(["categories", "offers"]),
        reference=NAMES | st.just("k1"),
        key=KEYS | st.just("keep"),
        status=STATUSES,
        category=NAMES,
        version=VERSIONS,
    )
    def replace(
        self, kind: str, reference: str, key: str | None, status: str, category: str, version: Any
    ) -> None:
        entity_id = self.owner(kind, reference)
        old = None if entity_id is None else self.model[kind, entity_id]
        said = old["version"] if version == "own" and old is not None else version
        said = None if said == "own" else said
        body: dict[str, Any] = {"name": "N", "status": status}
        body |= {} if key == "keep" else {"key": key}
        body |= {"categoryId": category} if kind == "offers" else {}
        headers = {} if said is None else {"If-Match": f'"{said}"'}
        got, answer = self.send("PUT", f"/{kind}/{reference}", body, **headers)
        assert got == self.expected(kind, entity_id, old, body, said), answer
        if got == 200 and old is not None and entity_id is not None:
            same = {**old, **body} == old
            assert answer["version"] == old["version"] + (not same)
            assert {**old, **body} == {**answer, "version": old["version"], "updatedAt": old["updatedAt"]}
            self.model[kind, entity_id] = answer

    def expected(
        self, kind: str, entity_id: str | None, old: dict[str, Any] | None, body: dict[str, Any], said: Any
    ) -> int:
        if entity_id is None or old is None:
            return 404
        if said is not None and said != old["version"]:
            return 409
        new = {**old, **body}
        if self.clash(kind, new["key"], entity_id):
            return 409
        if kind == "offers":
            return 200 if self.owner("categories", new["categoryId"]) else 400
        # A key that offers use must not go.
        used = {one["categoryId"] for (of, _), one in self.model.items() if of == "offers"}
        return 409 if old["key"] in used and new["key"] != old["key"] else 200

    @rule(kind=st.sampled_from(["categories", "offers"]), reference=NAMES | st.just("k1"), version=VERSIONS)
    def delete(self, kind: str, reference: str, version: Any) -> None:
        entity_id = self.owner(kind, reference)
        old = None if entity_id is None else self.model[kind, entity_id]
        said = old["version"] if version == "own" and old is not None else version
        said = None if said == "own" else said
        headers = {} if said is None else {"If-Match": str(said)}
        status, answer = self.delete_sent(f"/{kind}/{reference}", headers)
        if entity_id is None or old is None:
            assert status == 404
        elif said not in (None, old["version"]):
            assert status == 409
        elif kind == "categories" and self.users(entity_id):
            assert status == 409
            assert {one["field"] for one in answer["details"]} == {
                f"offers[{user}]" for user in self.users(entity_id)
            }
        else:
            assert status == 204
            del self.model[kind, entity_id]

    def delete_sent(self, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        return self.served.answer_any("DELETE", f"{API}{path}", headers={**SENT, **headers})

    @invariant()
    def lists_are_the_models(self) -> None:
        if not hasattr(self, "served"):
            return
        for kind in ("categories", "offers"):
            own = [one for (of, _), one in sorted(self.model.items()) if of == kind]
            shown = [one for one in own if one["status"] != "archived"]
            assert self.send("GET", f"/{kind}") == (200, {kind: shown, "total": len(shown)})
            assert self.send("GET", f"/{kind}?includeArchived=true")[1][kind] == own


TestShelves = Shelves.TestCase
TestShelves.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
