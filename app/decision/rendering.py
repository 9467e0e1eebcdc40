"""Filling a creative's content with what is known about the customer.

Rules of this module:

1.  `{{ name }}` and `{{ name | fallback }}` stand for a value; what is missing gives the fallback, else
    nothing. What is not such a placeholder stays as it is written.
2.  A bare name is looked for in personalization, the customer, the request's attributes and the offer, in
    that order; `customer.x`, `attributes.x`, `context.x`, `metrics.x`, `offer.x` and `personalization.x`
    name one of them.
3.  In HTML creatives a value is escaped; the template's own text, fallbacks included, is its author's.
4.  Rendering never fails. It takes time linear in the content.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

from app.decision.conditions import Environment, field_reader
from app.decision.showing import shown

_PLACEHOLDER = re.compile(r"\{\{([^{}|]{1,256})(?:\|([^{}]*))?\}\}")
_NAME = re.compile(r"[A-Za-z0-9_:-]+(?:\.[A-Za-z0-9_:-]+)*(?![\s\S])")
_SPACES = ("personalization", "customer", "attributes", "offer")
_NAMED = frozenset({*_SPACES, "context", "metrics"})
_DEPTH_MAX = 32

#: Gives one value of the content for an environment.
Template = Callable[[Environment], Any]


def compile_content(content: Mapping[str, Any], markup: bool) -> Callable[[Environment], dict[str, Any]]:
    """A function that fills the content; text anywhere in it is a template.

    Args:
        content: A creative's content.
        markup: Whether values are escaped for HTML.
    """
    fixed = dict(content)
    filled = {
        name: template
        for name, value in content.items()
        if (template := _template(value, markup, 1)) is not None
    }

    def fill(environment: Environment) -> dict[str, Any]:
        result = fixed.copy()
        for name, template in filled.items():
            result[name] = template(environment)
        return result

    return fill


def _template(value: Any, markup: bool, depth: int) -> Template | None:
    """How to fill a value; None when there is nothing to fill."""
    if isinstance(value, str):
        return _text(value, markup)
    if depth >= _DEPTH_MAX:
        return None
    if isinstance(value, list):
        members = [(member, _template(member, markup, depth + 1)) for member in value]
        if all(template is None for _, template in members):
            return None
        return lambda environment: [
            member if template is None else template(environment) for member, template in members
        ]
    if isinstance(value, dict):
        named = {name: (member, _template(member, markup, depth + 1)) for name, member in value.items()}
        if all(template is None for _, template in named.values()):
            return None
        return lambda environment: {
            name: member if template is None else template(environment)
            for name, (member, template) in named.items()
        }
    return None


def _text(text: str, markup: bool) -> Template | None:
    """How to fill a text; None when it holds no placeholder."""
    parts: list[str | Callable[[Environment], str]] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        name = found.group(1).strip()
        if not _NAME.match(name):
            continue
        parts.append(text[end : found.start()])
        parts.append(_placeholder(name, _unquoted(found.group(2) or ""), markup))
        end = found.end()
    if not parts:
        return None
    parts.append(text[end:])
    pieces = tuple(part for part in parts if part != "")
    return lambda environment: "".join(
        [piece if isinstance(piece, str) else piece(environment) for piece in pieces]
    )


def _unquoted(fallback: str) -> str:
    text = fallback.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _placeholder(name: str, fallback: str, markup: bool) -> Callable[[Environment], str]:
    namespace, dot, _ = name.partition(".")
    fields = [name] if dot and namespace in _NAMED else [f"{space}.{name}" for space in _SPACES]
    readers = tuple(field_reader(field) for field in fields)

    def value(environment: Environment) -> str:
        for read in readers:
            text = _shown(read(environment))
            if text is not None:
                return html.escape(text) if markup else text
        return fallback

    return value


def _shown(value: object) -> str | None:
    """A value, or the members of a list, as a person reads it; None for what cannot be shown."""
    if isinstance(value, list | tuple):
        members = [shown(member) for member in value]
        return ", ".join(text for text in members if text is not None)
    return shown(value)
