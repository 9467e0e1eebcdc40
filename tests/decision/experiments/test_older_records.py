"""Experiments as an older version may have stored them: they do not run, and decisions are made."""

from __future__ import annotations

import msgspec

from app.decision.catalogue import compile_tenant
from app.decision.decide import CustomerView, DecisionRequest, decide
from app.decision.entities import Experiment
from tests.decision.building import NOW_MS
from tests.decision.experiments.building import between_creatives, experimenting


def test_an_experiment_without_any_weight_assigns_nobody() -> None:
    catalogue = experimenting(between_creatives())
    entities = dict(catalogue.entities)
    for key, entity in entities.items():
        if isinstance(entity, Experiment):
            weightless = tuple(msgspec.structs.replace(one, weight=0) for one in entity.variants)
            entities[key] = msgspec.structs.replace(entity, variants=weightless)
    flow = compile_tenant("t", entities).resolve_flow(None, None, None)
    assert flow is not None
    result = decide(flow, DecisionRequest(), CustomerView("ann"), NOW_MS, "salt", lambda: 0.0)
    assert result.decisions
    assert all(one.experiment is None for one in result.decisions)
