"""JSON Schemas of the Structs that requests and answers are made of.

Rules:

1.  A Struct is described by msgspec from its fields, and by its `Shape` where the fields do not say all.
2.  An answer's fields are all there unless the Struct leaves out defaults; a request's only where they must
    be. A Struct that is both has two schemas; the request's is called `<name>Fields`.
3.  Names are unique: two Structs of the same name are a mistake, told when the document is made.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect as types

from app.decision.shape import Shape, shape_of

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/"
#: Python's way to refuse a trailing line feed, which JSON Schema's `$` refuses anyway.
_PYTHON_END = "(?![\\s\\S])"


class SameNameError(Exception):
    """Two Structs of one document have the same name. Internal."""


class Schemas:
    """The schemas of one document.

    Args:
        answers: Types that are only given.
        requests: Types that are taken.
    """

    def __init__(self, answers: Iterable[Any], requests: Iterable[Any]) -> None:
        given, taken = list(answers), list(requests)
        requests_too = [kind for kind in given if shape_of(kind).as_requested]
        answered = structs_of(kind for kind in given if kind not in requests_too)
        requested = structs_of([*taken, *requests_too])
        both = answered.keys() & requested.keys()
        self._answers = _Side(answered, both, "", _as_answer)
        self._requests = _Side(requested, both, "Fields", _as_request)
        self._variants: dict[str, Schema] = {}

    def answer(self, kind: Any) -> Schema:
        """The schema of what is given."""
        side = self._requests if shape_of(kind).as_requested else self._answers
        return side.schema(kind)

    def request(self, kind: Any, optional: Sequence[str] = ()) -> Schema:
        """The schema of what is taken; `optional` fields may be left out although the type requires them."""
        schema = self._requests.schema(kind)
        name = schema.get("$ref", "").removeprefix(REFERENCE)
        whole = self._requests.components().get(name, {})
        required = whole.get("required", [])
        if not set(required) & set(optional):
            return schema
        variant = name.removesuffix("Fields") + "Change"
        kept = [one for one in required if one not in optional]
        self._variants[variant] = {**whole, "title": variant, "required": kept}
        return {"$ref": REFERENCE + variant}

    def components(self) -> Mapping[str, Schema]:
        """The schemas that the others refer to, by name."""
        found = {**self._answers.components(), **self._requests.components(), **self._variants}
        return dict(sorted(found.items()))


class _Side:
    """Schemas of one direction. `renamed` get a suffix, `finish` adds what a Struct says of itself."""

    def __init__(
        self,
        structs: Mapping[str, type],
        renamed: Iterable[str],
        suffix: str,
        finish: Callable[[type, Schema], None],
    ) -> None:
        self._structs = structs
        self._names = {name: name + suffix for name in renamed}
        self._finish = finish

    def schema(self, kind: Any) -> Schema:
        (found,), _ = msgspec.json.schema_components([kind], ref_template=REFERENCE + "{name}")
        cleaned: Schema = self._clean(found)
        return cleaned

    @functools.cache  # noqa: B019 -- lives as long as the document is made
    def components(self) -> Mapping[str, Schema]:
        _, found = msgspec.json.schema_components(
            list(self._structs.values()), ref_template=REFERENCE + "{name}"
        )
        return {self._names.get(name, name): self._component(name, one) for name, one in found.items()}

    def _component(self, name: str, raw: Schema) -> Schema:
        kind = self._structs[name]
        schema: Schema = self._clean(raw)
        schema["title"] = self._names.get(name, name)
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
        for field, held in shape_of(kind).types.items():
            schema["properties"][field] = self.schema(held)
        self._finish(kind, schema)
        return schema

    def _clean(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self._clean(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        cleaned = {name: self._clean(one) for name, one in schema.items()}
        if cleaned.get("default", ...) in (None, ""):
            # What nothing was said of; an empty id would not even be one.
            del cleaned["default"]
        if isinstance(pattern := cleaned.get("pattern"), str) and pattern.endswith(_PYTHON_END):
            cleaned["pattern"] = pattern.removesuffix(_PYTHON_END) + "$"
        if isinstance(to := cleaned.get("$ref"), str):
            cleaned["$ref"] = re.sub(r"\w+$", lambda found: self._names.get(found[0], found[0]), to)
        if isinstance(mapping := cleaned.get("mapping"), dict):
            cleaned["mapping"] = {tag: self._clean({"$ref": to})["$ref"] for tag, to in mapping.items()}
        return cleaned


def without_raw_defaults(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The Struct as msgspec can describe it: a default that is JSON already stops it."""
    fields = [
        (field.name, Any, None) if isinstance(field.default, msgspec.Raw) else _as_declared(field)
        for field in msgspec.structs.fields(kind)
    ]
    namespace = {"shape": shape_of(kind), "__doc__": kind.__doc__}
    return msgspec.defstruct(
        kind.__name__, fields, namespace=namespace, rename="camel", kw_only=True, omit_defaults=True
    )


def _as_declared(field: msgspec.structs.FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    if field.required:
        return field.name, field.type
    if field.default is msgspec.NODEFAULT:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    return field.name, field.type, field.default


def structs_of(kinds: Iterable[Any]) -> dict[str, type]:
    """All Structs that these types are made of, by name.

    Raises:
        SameNameError: two have the same name.
    """
    found: dict[str, type] = {}
    waiting = list(kinds)
    while waiting:
        for one in _structs_in(types.type_info(waiting.pop())):
            if found.setdefault(one.__name__, one) is not one:
                raise SameNameError(one.__name__)
            waiting.extend(shape_of(one).types.values())
    return found


def _structs_in(info: types.Type) -> Iterator[type]:
    """The Structs within a type, each as often as it is there."""
    waiting, seen = [info], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, types.StructType):
            if one.cls in seen:
                continue
            seen.add(one.cls)
            yield one.cls
            waiting.extend(field.type for field in one.fields)
        waiting.extend(_within(one))


def _within(info: types.Type) -> Sequence[types.Type]:
    match info:
        case types.Metadata(type=inner):
            return (inner,)
        case types.UnionType(types=members):
            return members
        case types.ListType(item_type=inner) | types.VarTupleType(item_type=inner):
            return (inner,)
        case types.TupleType(item_types=members):
            return members
        case types.DictType(key_type=key, value_type=value):
            return (key, value)
    return ()


def _as_answer(kind: type, schema: Schema) -> None:
    # A reader must bear fields that are new.
    schema.pop("additionalProperties", None)
    if "properties" not in schema or kind.__struct_config__.omit_defaults:  # type: ignore[attr-defined]
        return
    fields = msgspec.structs.fields(kind)
    left_out = {field.encode_name for field in fields if field.default is msgspec.UNSET}
    schema["required"] = [name for name in schema["properties"] if name not in left_out]


def _as_request(kind: type, schema: Schema) -> None:
    shape, properties = shape_of(kind), schema.get("properties", {})
    for name in shape.ignored:
        properties[name] = {"description": "The server's: what a request says of it is not looked at."}
    for alias, canonical in shape.aliases.items():
        properties[alias] |= {"deprecated": True, "description": f"The same as `{canonical}`."}
    required, groups = _required(shape)
    schema["required"] = [*schema.get("required", ()), *required]
    for name in required:
        properties[name] = _not_null(properties[name])
    if groups:
        schema["allOf"] = [{"anyOf": [_given(name, properties) for name in group]} for group in groups]
    if not schema["required"]:
        del schema["required"]
    if shape.example is not None:
        schema["examples"] = [shape.example]


def _required(shape: Shape) -> tuple[list[str], list[tuple[str, ...]]]:
    """The fields that must be there, and the groups of which one must."""
    required: list[str] = []
    groups = list(shape.any_of)
    for name in shape.required:
        names = (name, *(alias for alias, canonical in shape.aliases.items() if canonical == name))
        if len(names) == 1:
            required.append(name)
        else:
            groups.append(names)
    return required, groups


def _given(name: str, properties: Mapping[str, Schema]) -> Schema:
    """That a field is there, and not null."""
    held = {key: value for key, value in _not_null(properties[name]).items() if key in ("type", "$ref")}
    return {"required": [name], "properties": {name: held}}


def _not_null(schema: Schema) -> Schema:
    members = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(members) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **members[0]}
