"""What is wrong with a document, in words its author can act on."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a document: where, and what to write instead.

    `path` is empty for the whole document, else as in `config.perDay` or `scopes[1].id`; for a problem of
    a whole tenant it begins with the entity, as in `offers[off_1].categoryId`.
    """

    path: str
    message: str


def join(path: str, name: str) -> str:
    """The path of a member: `a` and `b` give `a.b`, an empty path gives `b`, `[0]` is appended as it is."""
    if not path or not name or name.startswith("["):
        return path + name
    return f"{path}.{name}"
