"""YAML and JSON text to plain values, with bounds, and back.

Rules of this module:

1.  Only what JSON can carry is read: text, finite numbers, true and false, null, lists, objects. So `no`,
    `10:30` and `2026-01-01` are text, as in YAML 1.2, and nothing is ever run or built by a tag.
2.  A name used twice in an object is refused, with its line: the author meant one of them.
3.  Nothing recurses, and nesting, size and what aliases repeat are bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import yaml

from app.decision.loading import DEPTH_MAX
from app.decision.problems import Problem
from app.decision.refusals import first_twice

#: Largest document, in bytes.
SIZE_MAX = 16 * 1024 * 1024
#: Most values that aliases may repeat: enough for shared parts, not for a bomb.
REPEATED_MAX = 100_000

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INT_DIGITS_MAX = 20
_PLAIN = re.compile(r"[\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*")
_WORDS = {"": None, "~": None, "true": True, "false": False}
_WORDS |= dict.fromkeys(("null", "Null", "NULL"))
_WORDS |= {form: form.lower() == "true" for form in ("True", "TRUE", "False", "FALSE")}
_TAGS: dict[str, Callable[[str], Any]] = {"tag:yaml.org,2002:str": str, "!": str}

#: The parser in C where the package has one, ten times as fast.
_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_JSON = json.JSONEncoder(ensure_ascii=False, indent=2)


class DocumentTextError(ValueError):
    """Text that is no document. `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Mark(Protocol):
    """A place in the text; lines count from 0."""

    @property
    def line(self) -> int: ...


class _Open:
    """A list or object under construction. `nodes` counts its values, those that aliases repeat too."""

    __slots__ = ("anchor", "key", "lines", "nodes", "value")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.lines: dict[str, int] = {}
        self.nodes = 1


def parse_text(data: bytes) -> object:
    """The value of a YAML or JSON document.

    Raises:
        DocumentTextError: too large, not UTF-8, not YAML, or against a rule of this module.
    """
    if len(data) > SIZE_MAX:
        raise _error(f"is larger than {SIZE_MAX // 1024**2} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(f"is not UTF-8 text (byte {error.start})") from error
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text, object_pairs_hook=_json_object, parse_constant=_json_constant)
        except RecursionError as error:
            raise _error(f"is nested deeper than {DEPTH_MAX} levels") from error
        except json.JSONDecodeError:
            pass  # YAML in braces, or neither: the other parser says which
        except ValueError as error:
            raise error if isinstance(error, DocumentTextError) else _error(str(error)) from error
    try:
        return _Builder().build(yaml.parse(text, Loader=_Parser))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise _error(f"is not valid YAML: {reason}", mark) from error


def yaml_text(value: object) -> str:
    """The value as YAML that `parse_text` reads back the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def json_text(value: object) -> str:
    """The value as JSON, indented."""
    return "".join(json_parts(value))


def yaml_parts(document: Mapping[str, object]) -> Iterator[str]:
    """What `yaml_text` says of a document that is not empty, each member of its lists by itself."""
    for name, value in document.items():
        if isinstance(value, list) and value:
            yield yaml_text({name: None}).removesuffix(" null\n") + "\n"
            for member in value:
                yield yaml_text([member])
        else:
            yield yaml_text({name: value})


def json_parts(value: object) -> Iterator[str]:
    """What `json_text` says, in small parts."""
    yield from _JSON.iterencode(value)
    yield "\n"


class _Builder:
    """Plain values from the events of a YAML parser."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._repeated = 0
        self._result: object = None
        self._documents = 0

    def build(self, events: Iterator[yaml.Event]) -> object:
        for event in events:
            if isinstance(event, yaml.MappingStartEvent):
                self._begin({}, event)
            elif isinstance(event, yaml.SequenceStartEvent):
                self._begin([], event)
            elif isinstance(event, yaml.CollectionEndEvent):
                done = self._stack.pop()
                self._remember(done.anchor, done.value, done.nodes)
                self._place(done.value, done.nodes, event)
            elif isinstance(event, yaml.ScalarEvent):
                value = _scalar(event)
                self._remember(event.anchor, value, 1)
                self._place(value, 1, event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise _error("holds more than one document", event.start_mark)
        return self._result

    def _begin(self, value: dict[str, Any] | list[Any], event: yaml.CollectionStartEvent) -> None:
        if event.tag is not None and event.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise _error(f"has a tag, {event.tag}, which only programs understand", event.start_mark)
        if len(self._stack) >= DEPTH_MAX:
            raise _error(f"is nested deeper than {DEPTH_MAX} levels", event.start_mark)
        self._stack.append(_Open(value, event.anchor))

    def _remember(self, anchor: str | None, value: object, nodes: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, nodes

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self._anchors:
            raise _error(f"*{event.anchor} stands for nothing that is complete here", event.start_mark)
        value, nodes = self._anchors[event.anchor]
        self._repeated += nodes
        if self._repeated > REPEATED_MAX:
            raise _error(f"repeats more than {REPEATED_MAX} values by aliases", event.start_mark)
        self._place(value, nodes, event)

    def _place(self, value: object, nodes: int, event: yaml.Event) -> None:
        """Put a complete value where it belongs: the document, a list, or an object's name or member."""
        if not self._stack:
            self._result = value
            return
        top = self._stack[-1]
        top.nodes += nodes
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            top.key = _name(value, top, event)
        else:
            top.value[top.key] = value
            top.key = None


def _name(value: object, top: _Open, event: yaml.Event) -> str:
    if not isinstance(value, str):
        raise _error(f"has a name that is not text, {value!r}: put it in quotes", event.start_mark)
    if value in top.lines:
        raise _error(f"uses the name {value} twice, first in line {top.lines[value]}", event.start_mark)
    top.lines[value] = 0 if event.start_mark is None else event.start_mark.line + 1
    return value


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    if event.tag is not None:
        if event.tag not in _TAGS:
            raise _error(f"has a tag, {event.tag}, which only programs understand", event.start_mark)
        return text
    if not event.implicit[0]:
        return text  # quoted
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or not _FLOAT.fullmatch(text):
        return text
    if _INT.fullmatch(text):
        if len(text) > _INT_DIGITS_MAX:
            raise _error("is an integer of more than 64 bits", event.start_mark)
        return int(text)
    return float(text)


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = first_twice(name for name, _ in pairs)
        raise _error(f"uses the name {twice} twice in one object")
    return found


def _json_constant(name: str) -> object:
    raise _error(f"holds {name}, which is not a finite number")


def _error(message: str, mark: _Mark | None = None) -> DocumentTextError:
    path = "" if mark is None else f"line {mark.line + 1}"
    return DocumentTextError(Problem(path, message))


class _Dumper(yaml.SafeDumper):
    """YAML that means the same to readers of YAML 1.1 and to this one."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a shared part out each time: exports are for reading and comparing."""
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    """Line breaks that only Unicode knows, and what cannot be printed, survive in double quotes alone."""
    style = None if _PLAIN.fullmatch(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
# Text that only this module would take for a number must be written in quotes, too.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"(?:{_FLOAT.pattern})$"), list("+-.0123456789")
)
