"""Rendering: what placeholders become, and that nothing breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.conditions import Environment
from app.decision.rendering import compile_content
from tests.decision.documents import ANY_JSON

ENVIRONMENT: Environment = {
    "personalization": {"rate": 17.49, "both": "computed"},
    "customer": {"first": "Sarah", "both": "customer", "vip": True, "evil": "<b>\"&'", "null": None},
    "attributes": {"tier": "gold", "first": "Request", "device": {"os": "ios"}},
    "context": {"page": "home"},
    "metrics": {"visits": 3.0},
    "offer": {"name": "Card", "fee": 0, "huge": 10**5_000, "list": ["a", 1, None, True]},
}


def rendered(text: Any, markup: bool = False, environment: Environment = ENVIRONMENT) -> Any:
    return compile_content({"x": text}, markup)(environment)["x"]


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("Hi {{ first }}!", "Hi Sarah!"),
        ("Hi {{first|you}}!", "Hi Sarah!"),
        ("Hi {{ missing | you }}!", "Hi you!"),
        ("Hi {{ missing | 'dear you ' }}!", "Hi dear you !"),
        ("Hi {{ missing }}!", "Hi !"),
        ("Hi {{ null | you }}!", "Hi you!"),
        ("{{ both }}", "computed"),
        ("{{ customer.both }}", "customer"),
        ("{{ attributes.first }} {{ tier }} {{ device.os }}", "Request gold ios"),
        ("{{ context.page }} {{ metrics.visits }}", "home 3"),
        ("{{ page | none }}", "none"),
        ("{{ rate }}% {{ name }} {{ offer.name }} {{ offer.fee }}", "17.49% Card Card 0"),
        ("{{ vip }} {{ offer.list }}", "true a, 1, true"),
        ("{{ offer.huge | many }}", "many"),
        ("{{ device | object }}", "object"),
        ("{{ }} {{ first", "{{ }} {{ first"),
        ("{{ first last }} { first } {{{ first }}}", "{{ first last }} { first } {Sarah}"),
        ("no placeholder", "no placeholder"),
        ("{{ evil }}", "<b>\"&'"),
        (5, 5),
        ({"a": ["{{ first }}", 1]}, {"a": ["Sarah", 1]}),
    ],
)
def test_placeholders(template: Any, wanted: Any) -> None:
    assert rendered(template) == wanted


def test_html_escapes_values_but_not_the_authors_text() -> None:
    template = "<p>{{ evil }}</p>{{ missing | <i>you</i> }}"
    assert rendered(template, markup=True) == "<p>&lt;b&gt;&quot;&amp;&#x27;</p><i>you</i>"


def test_values_are_not_templates() -> None:
    environment = {**ENVIRONMENT, "customer": {"first": "{{ offer.name }}"}}
    assert rendered("{{ first }}", environment=environment) == "{{ offer.name }}"


def test_content_given_out_is_the_callers_own() -> None:
    fill = compile_content({"a": "b"}, False)
    fill(ENVIRONMENT)["a"] = "changed"
    assert fill(ENVIRONMENT) == {"a": "b"}


PIECES = st.sampled_from(
    ["{{", "}}", "{", "}", "|", " first ", "customer.x", ".", "offer.", "'", '"', "<", "a"]
)


@settings(max_examples=500)
@given(
    text=st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join),
    values=st.dictionaries(st.sampled_from(["first", "x", "a"]), ANY_JSON),
    markup=st.booleans(),
)
def test_any_text_renders_with_any_values(text: str, values: dict[str, Any], markup: bool) -> None:
    environment = {**ENVIRONMENT, "customer": values, "attributes": values}
    assert isinstance(rendered(text, markup, environment), str)


@given(content=st.dictionaries(st.text(max_size=5), ANY_JSON))
def test_any_content_renders(content: dict[str, Any]) -> None:
    assert compile_content(content, True)(ENVIRONMENT).keys() == content.keys()


def test_rendering_takes_linear_time() -> None:
    """Quadratic search would not end within the suite's time."""
    assert rendered("{{ first " * 100_000).startswith("{{ first")
    assert rendered("{{" * 200_000) == "{{" * 200_000
