"""Documents of contact policies: what is refused and where, what they refer to, and that nothing raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import check_tenant, compile_tenant, load_entity, users_of
from app.decision.policies import POLICY_KINDS
from tests.decision.building import SHOP, creatives, decided, loaded, policy
from tests.decision.documents import ANY_JSON, SCALARS

YEAR = 400 * 86_400_000
EQ = {"field": "customer.a", "operator": "eq", "value": 1}
#: The least that each kind needs, and references that exist nowhere.
CONFIGS: dict[str, dict[str, Any]] = {
    "frequency_cap": {"perDay": 1, "channels": ["mail", "nowhere"]},
    "cooldown": {"cooldownMs": 1},
    "budget_exhausted": {},
    "outcome_based": {"outcomes": ["click", "conversion", "nothing"], "lookbackMs": 1},
    "segment_exclusion": {"segmentIds": ["nobody"]},
    "time_window": {"days": ["mon"]},
    "mutual_exclusion": {"offerIds": ["card", "neither"]},
    "cross_channel_cap": {"max": 1, "windowMs": 1},
    "customer_total_cap": {"max": 1, "windowMs": 1},
    "category_suppression": {"windowMs": 1},
    "metric_condition": {"metric": "unmeasured", "operator": "gt", "value": 1},
    "allow_override": {"when": {"any": [{"not": {**EQ, "field": "metrics.unmeasured"}}, EQ]}},
}
DANGLING = {
    "frequency_cap": "config.channels[1]",
    "outcome_based": "config.outcomes[2]",
    "segment_exclusion": "config.segmentIds[0]",
    "mutual_exclusion": "config.offerIds[1]",
    "metric_condition": "config.metric",
    "allow_override": "config.when.any[0].not.field",
}


@pytest.mark.parametrize(
    ("kind", "config", "path"),
    [
        ("frequency_cap", {}, "config"),
        ("frequency_cap", {"max": 1}, "config.windowMs"),
        ("frequency_cap", {"windowMs": 1}, "config.max"),
        ("frequency_cap", {"perDay": -1}, "config.perDay"),
        ("frequency_cap", {"perDay": 1.5}, "config.perDay"),
        ("frequency_cap", {"perDy": 1}, "config.perDy"),
        ("frequency_cap", {"max": 1, "windowMs": YEAR + 1}, "config.windowMs"),
        ("cooldown", {}, "config.cooldownMs"),
        ("cooldown", {"cooldownMs": 0}, "config.cooldownMs"),
        ("cooldown", {"cooldownMs": YEAR + 1}, "config.cooldownMs"),
        ("budget_exhausted", {"max": 1}, "config.max"),
        ("outcome_based", {"lookbackMs": 1}, "config.outcomes"),
        ("outcome_based", {"outcomes": [], "lookbackMs": 1}, "config.outcomes"),
        ("outcome_based", {"outcomes": ["click"]}, "config.lookbackMs"),
        ("outcome_based", {"outcomes": ["click"], "lookbackMs": 1, "suppressMs": 0}, "config.suppressMs"),
        ("outcome_based", {"outcomes": ["a b"], "lookbackMs": 1}, "config.outcomes[0]"),
        ("segment_exclusion", {}, "config.segmentIds"),
        ("segment_exclusion", {"segmentIds": []}, "config.segmentIds"),
        ("time_window", {}, "config"),
        ("time_window", {"invert": True}, "config"),
        ("time_window", {"from": "08:00"}, "config.to"),
        ("time_window", {"to": "08:00"}, "config.from"),
        ("time_window", {"from": "8:00", "to": "09:00"}, "config.from"),
        ("time_window", {"from": "08:00", "to": "24:01"}, "config.to"),
        ("time_window", {"from": "24:00", "to": "08:00"}, "config.from"),
        ("time_window", {"from": "08:00", "to": "08:00"}, "config.to"),
        ("time_window", {"from": "08:00", "to": "٠٩:00"}, "config.to"),
        ("time_window", {"days": ["mon", "noday"]}, "config.days[1]"),
        ("time_window", {"days": [0]}, "config.days[0]"),
        ("time_window", {"days": [8]}, "config.days[0]"),
        ("time_window", {"days": [1.5]}, "config.days[0]"),
        ("mutual_exclusion", {}, "config.offerIds"),
        ("mutual_exclusion", {"offerIds": ["a", "a"]}, "config.offerIds"),
        ("mutual_exclusion", {"offerIds": ["a", "b"], "windowMs": YEAR + 1}, "config.windowMs"),
        ("cross_channel_cap", {"max": 1}, "config.windowMs"),
        ("cross_channel_cap", {"windowMs": 1}, "config.max"),
        ("cross_channel_cap", {"max": 1, "windowMs": YEAR + 1}, "config.windowMs"),
        ("customer_total_cap", {"max": 1}, "config.windowMs"),
        ("customer_total_cap", {"max": 1, "windowMs": YEAR + 1}, "config.windowMs"),
        ("category_suppression", {}, "config.windowMs"),
        ("category_suppression", {"windowMs": YEAR + 1}, "config.windowMs"),
        ("metric_condition", {"operator": "gt", "value": 1}, "config.metric"),
        ("metric_condition", {"metric": "m", "value": 1}, "config.operator"),
        ("metric_condition", {"metric": "m", "operator": "gt"}, "config.value"),
        ("metric_condition", {"metric": "m", "operator": "near", "value": 1}, "config.operator"),
        ("metric_condition", {"metric": "metrics.", "operator": "gt", "value": 1}, "config.metric"),
        ("allow_override", {"when": {"operator": "eq"}}, "config.when.field"),
        ("allow_override", {"when": {"all": [EQ, {**EQ, "field": "x.y"}]}}, "config.when.all[1].field"),
        ("allow_override", {"if": EQ}, "config.if"),
    ],
)
def test_what_is_wrong_with_a_config_is_named_by_path(kind: str, config: dict[str, Any], path: str) -> None:
    problems = load_entity("contact-policies", {"id": "p", "name": "p", "kind": kind, "config": config})
    assert isinstance(problems, list)
    assert [problem.path for problem in problems] == [path]
    if f"{YEAR + 1}" in str(config):
        assert "400 days" in problems[0].message


DAY = {"windowMs": 86_400_000}


@pytest.mark.parametrize(
    ("kind", "config", "path"),
    [
        ("frequency_cap", {"perDay": 1}, None),
        ("frequency_cap", {"max": 1, **DAY}, None),
        ("frequency_cap", {"max": 1, "windowMs": 86_400_001}, "config.windowMs"),
        ("frequency_cap", {"perDay": 1, "total": 1}, None),
        ("frequency_cap", {"total": 1}, "calendar"),
        ("customer_total_cap", {"max": 1, **DAY}, None),
        ("customer_total_cap", {"max": 1, "windowMs": 1}, "config.windowMs"),
        ("cross_channel_cap", {"max": 1, **DAY}, None),
        ("cross_channel_cap", {"max": 1, "windowMs": 1}, "config.windowMs"),
        ("category_suppression", DAY, None),
        ("category_suppression", {"windowMs": 1}, "config.windowMs"),
        ("mutual_exclusion", {"offerIds": ["card", "car"], **DAY}, None),
        ("mutual_exclusion", {"offerIds": ["card", "car"]}, "config.windowMs"),
        ("cooldown", {"cooldownMs": 86_400_000}, "calendar"),
        ("budget_exhausted", {}, "calendar"),
        ("outcome_based", CONFIGS["outcome_based"], "calendar"),
        ("segment_exclusion", CONFIGS["segment_exclusion"], "calendar"),
        ("time_window", CONFIGS["time_window"], "calendar"),
        ("metric_condition", CONFIGS["metric_condition"], "calendar"),
        ("allow_override", CONFIGS["allow_override"], "calendar"),
    ],
)
def test_calendar_is_refused_where_nothing_counts_by_it(
    kind: str, config: dict[str, Any], path: str | None
) -> None:
    document = {"id": "p", "name": "p", "kind": kind, "config": config, "calendar": True}
    problems = load_entity("contact-policies", document)
    assert ([one.path for one in problems] if isinstance(problems, list) else []) == ([path] if path else [])


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_bypassable_is_refused_where_nothing_is_blocked(kind: str) -> None:
    document = {"id": "p", **policy(kind, CONFIGS[kind], bypassable=False)}
    problems = load_entity("contact-policies", document)
    paths = [one.path for one in problems] if isinstance(problems, list) else []
    assert paths == (["bypassable"] if kind == "allow_override" else [])


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_every_reference_of_a_config_is_checked(kind: str) -> None:
    entities = loaded({**SHOP, "contact-policies": [policy(kind, CONFIGS[kind])]})
    wanted = [f"contact-policies[{kind}].{DANGLING[kind]}"] if kind in DANGLING else []
    assert [problem.path for problem in check_tenant("t", entities)] == wanted
    # What is missing all the same is left out: it compiles, and decides.
    decided(compile_tenant("t", entities))


def test_what_a_policy_refers_to_cannot_be_deleted() -> None:
    policies = [
        {**policy("mutual_exclusion", {"offerIds": ["card", "car"]}), "id": "group"},
        {**policy("frequency_cap", {"total": 9, "channels": ["mail"]}, ("segment", "vip")), "id": "cap"},
    ]
    segments = [{"id": "s", "key": "vip", "name": "VIP", "filter": EQ}]
    entities = loaded({**SHOP, "contact-policies": policies, "segments": segments})
    assert check_tenant("t", entities) == []
    assert ("contact-policies", "group") in users_of("offers", "car", entities)
    assert ("contact-policies", "cap") in users_of("channels", "mail", entities)
    assert ("contact-policies", "cap") in users_of("segments", "s", entities)


@pytest.mark.parametrize("scope", ["segment", "channel", "offer", "creative", "placement", "category"])
def test_a_scope_needs_an_id_that_exists(scope: str) -> None:
    without = load_entity(
        "contact-policies", {"id": "p", **policy("cooldown", {"cooldownMs": 1}, (scope, None))}
    )
    assert isinstance(without, list)
    assert [one.path for one in without] == ["scopes[0].id"]
    entities = loaded({**SHOP, "contact-policies": [policy("cooldown", {"cooldownMs": 1}, (scope, "gone"))]})
    assert [one.path for one in check_tenant("t", entities)] == ["contact-policies[cooldown].scopes[0].id"]
    # A policy whose only scope is gone holds nowhere.
    assert len(creatives(decided(compile_tenant("t", entities), channel_id="mail"))) == 3


NAMES = sorted({name for config in CONFIGS.values() for name in config} | {
    "perHour", "perWeek", "perMonth", "total", "max", "windowMs", "suppressMs", "from", "to", "invert",
})  # fmt: skip
VALUES = (
    ANY_JSON
    | SCALARS
    | st.sampled_from(
        [1, 86_400_000, YEAR, "mon", "08:00", "gt", ["card", "car"], ["click"], EQ, {"not": EQ}]
    )
)


@settings(max_examples=1_000)
@given(
    kind=st.sampled_from(list(POLICY_KINDS)) | st.text(max_size=3),
    config=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4) | ANY_JSON,
    own=st.booleans(),
    scopes=st.lists(st.sampled_from([{"scope": "offer", "id": "card"}, {"scope": "segment", "id": "x"},
                                     {"scope": "global"}, {"scope": "placement"}, {}, 1]), max_size=2),
    more=st.fixed_dictionaries({}, optional={"calendar": st.booleans(), "bypassable": st.booleans(),
                                             "priority": SCALARS}),
)  # fmt: skip
def test_any_policy_is_accepted_or_refused_and_never_raises(
    kind: str, config: Any, own: bool, scopes: Any, more: dict[str, Any]
) -> None:
    if own and isinstance(config, dict):
        config = {**CONFIGS.get(kind, {}), **config}
    document = {"id": "p", "name": "p", "kind": kind, "config": config, "scopes": scopes, **more}
    entity = load_entity("contact-policies", document)
    if isinstance(entity, list):
        assert entity
        return
    entities = {**loaded(SHOP), ("contact-policies", "p"): entity}
    check_tenant("t", entities)
    catalogue = compile_tenant("t", entities)
    decided(catalogue)
