"""Experiments as documents: what is refused and where, and that nothing breaks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import check_tenant, compile_tenant, load_entity, users_of
from app.decision.decide import CustomerView, DecisionRequest, decide
from app.decision.entities import Entity
from tests.decision.building import NOW_MS, SHOP, loaded
from tests.decision.documents import SCALARS, nearly
from tests.decision.experiments.building import CREATIVES, OFFERS, RACING, between_creatives, between_scorings

_MAIL = {"key": "a", "weight": 100, "creativeId": "card-mail"}
_FORMULA = {"method": "formula", "weights": {"p": 1, "r": 1}}


def documents(*experiments: dict[str, Any], **more: list[dict[str, Any]]) -> dict[tuple[str, str], Entity]:
    """The entities of the shop with these experiments."""
    return loaded({**SHOP, "offers": OFFERS, "creatives": [*SHOP["creatives"], *CREATIVES],
                   "experiments": experiments, **more})  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"variants": [_MAIL, {**_MAIL, "weight": 0}]}, {"variants[1].key"}),
        ({"variants": [{**_MAIL, "weight": 99.99}]}, {"variants"}),
        ({"variants": [{**_MAIL, "weight": 60}, {**_MAIL, "key": "b", "weight": 60}]}, {"variants"}),
        ({"variants": []}, {"variants"}),
        ({"variants": [{**_MAIL, "weight": 101}]}, {"variants[0].weight"}),
        ({"variants": [{**_MAIL, "wieght": 1}]}, {"variants[0].wieght"}),
        ({"controlVariant": "c"}, {"controlVariant"}),
        ({"offerId": None}, {"offerId"}),
        ({"variants": [{"key": "a", "weight": 100}]}, {"variants[0].creativeId"}),
        ({"variants": [{**_MAIL, "scoring": {}}]}, {"variants[0].scoring"}),
        ({"target": "scoring", "variants": [_MAIL]}, {"offerId", "variants[0].creativeId"}),
        ({"target": "scoring", "offerId": None, "variants": [
            {"key": "a", "weight": 50}, {"key": "b", "weight": 50}]}, {"variants[1].scoring"}),
        ({"startAt": "2027-01-02T00:00:00Z", "endAt": "2027-01-02T00:00:00Z"}, {"endAt"}),
        ({"startAt": "2027-01-02T00:00:00Z", "endAt": "2027-01-02T02:00:00+03:00"}, {"endAt"}),
        ({"stickyDays": 0, "conversionWindowMs": 0, "holdoutPercent": 101},
         {"stickyDays", "conversionWindowMs", "holdoutPercent"}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_experiment_is_named_by_path(fields: dict[str, Any], paths: set[str]) -> None:
    problems = load_entity("experiments", between_creatives(**fields))
    assert isinstance(problems, list)
    assert {problem.path for problem in problems} == paths


def test_thirds_sum_to_100_within_a_billionth() -> None:
    thirds = [{"key": key, "weight": 100 / 3, "creativeId": "card-mail"} for key in "abc"]
    assert isinstance(load_entity("experiments", between_creatives(variants=thirds)), Entity)


@pytest.mark.parametrize(
    ("experiments", "paths"),
    [
        ([between_creatives()], []),
        ([between_scorings()], []),
        ([between_creatives(offerId="gone")], ["experiments[exp].offerId"]),
        ([between_creatives(variants=[{**_MAIL, "creativeId": "gone"}])],
         ["experiments[exp].variants[0].creativeId"]),
        ([between_creatives(variants=[{**_MAIL, "creativeId": "car-mail"}])],
         ["experiments[exp].variants[0].creativeId"]),
        ([between_creatives(offerId="car", status="draft")],
         ["experiments[exp].variants[0].creativeId", "experiments[exp].variants[1].creativeId"]),
        ([between_scorings(variants=[{"key": "champion", "weight": 100, "scoring": _FORMULA}])],
         ["experiments[race].variants[0].scoring.weights"]),
        ([between_scorings(variants=[{"key": "champion", "weight": 100,
                                      "scoring": {"method": "propensity", "modelId": "m"}}])],
         ["experiments[race].variants[0].scoring.modelId"]),
        # One at a time on an offer.
        ([between_creatives(), between_creatives(id="exp2", key="k2", offerId="card")],
         ["experiments[exp2].offerId"]),
        ([between_creatives(), between_creatives(id="exp2", key="k2", status="paused")], []),
        ([between_creatives(endAt="2027-01-02T00:00:00Z"),
          between_creatives(id="exp2", key="k2", startAt="2027-01-02T00:00:00Z")], []),
        ([between_creatives(endAt="2027-01-02T00:00:01Z"),
          between_creatives(id="exp2", key="k2", startAt="2027-01-02T00:00:00Z")],
         ["experiments[exp2].offerId"]),
        ([between_scorings(), between_scorings(id="race2", key="k2")], []),
    ],
)  # fmt: skip
def test_an_experiment_fits_the_others_of_its_tenant(
    experiments: list[dict[str, Any]], paths: list[str]
) -> None:
    problems = check_tenant("t", documents(*experiments))
    assert [problem.path for problem in problems] == paths


@pytest.mark.parametrize(
    ("reference", "paths"),
    [("race", []), ("champion", []), ("gone", ["decision-flows[flow].experimentId"]),
     ("exp", ["decision-flows[flow].experimentId"])],
)  # fmt: skip
def test_a_flow_names_an_experiment_between_scorings(reference: str, paths: list[str]) -> None:
    flow = {**RACING, "experimentId": reference}
    entities = documents(between_scorings(), between_creatives(), **{"decision-flows": [flow]})
    assert [problem.path for problem in check_tenant("t", entities)] == paths


def test_a_variant_by_thompson_sampling_takes_no_floor() -> None:
    scoring = {"method": "propensity", "modelId": "ts", "floor": 0.1}
    race = between_scorings(variants=[{"key": "champion", "weight": 100, "scoring": scoring}])
    entities = documents(race, models=[{"id": "ts", "key": "ts", "kind": "thompson"}])
    paths = [problem.path for problem in check_tenant("t", entities)]
    assert paths == ["experiments[race].variants[0].scoring.floor"]


def test_what_an_experiment_uses_cannot_be_deleted() -> None:
    entities = documents(between_scorings(), between_creatives(), **{"decision-flows": [RACING]})
    assert users_of("offers", "card", entities)[-1] == ("experiments", "exp")
    assert users_of("creatives", "card-mail-b", entities) == [("experiments", "exp")]
    assert users_of("experiments", "race", entities) == [("decision-flows", "flow")]


@pytest.mark.parametrize(
    "broken",
    [
        between_creatives(
            variants=[_MAIL | {"weight": 50}, {"key": "b", "weight": 50, "creativeId": "gone"}]
        ),
        between_creatives(offerId="gone"),
    ],
)
def test_an_older_record_that_is_not_whole_does_not_run(broken: dict[str, Any]) -> None:
    catalogue = compile_tenant("t", documents(broken))
    assert catalogue.experiments.get("exp") is None
    assert catalogue.flows["flow"].experiments is None


_VARIANT = st.fixed_dictionaries(
    {"key": st.sampled_from(["a", "b", "c"]), "weight": st.sampled_from([0, 30, 50, 70, 100])},
    optional={
        "creativeId": st.sampled_from(["card-mail", "card-mail-b", "car-mail", "gone"]),
        "scoring": nearly("method", "floor", "expression", "weights", "modelId"),
    },
)
_EXPERIMENT = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["exp", "race"]),
        "key": st.sampled_from(["cta", "champion"]),
        "target": st.sampled_from(["creative", "scoring"]),
        "variants": st.lists(_VARIANT, max_size=3) | SCALARS,
        "controlVariant": st.sampled_from(["a", "b"]) | SCALARS,
        "status": st.sampled_from(["active", "draft"]),
    },
    optional={
        "offerId": st.sampled_from(["card", "k-card", "car", "gone"]),
        "holdoutPercent": SCALARS,
        "stickyDays": SCALARS,
        "startAt": st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
        "endAt": st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    },
)


@settings(max_examples=400)
@given(body=_EXPERIMENT, customer_id=st.text(max_size=5))
def test_any_experiment_is_refused_or_decides(body: dict[str, Any], customer_id: str) -> None:
    entity = load_entity("experiments", body)
    if isinstance(entity, list):
        assert entity
        return
    entities = documents(**{"decision-flows": [{**RACING, "experimentId": "race"}]})
    entities["experiments", entity.id] = entity
    check_tenant("t", entities)
    flow = compile_tenant("t", entities).flows["flow"]
    result = decide(flow, DecisionRequest(trace=True), CustomerView(customer_id), NOW_MS, "s", lambda: 0.0)
    assert len(result.decisions) == 3
