"""Who changed something: a key of the contract, a person at the command line, or the sandbox."""

from __future__ import annotations

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """Who acts. `id` is a key's id, `cli:<user>` or `sandbox`; `name` is what people know it by, or empty."""

    id: str
    name: str = ""


def cli_actor(user: str) -> Actor:
    """Somebody at the command line."""
    return Actor(f"cli:{user}", user)


#: The caller of a worker in sandbox mode, whoever that is.
SANDBOX = Actor("sandbox", "sandbox")
