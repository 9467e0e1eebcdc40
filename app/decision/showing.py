"""Values as a person reads them: in templates and in texts that formulas make."""

from __future__ import annotations


def shown(value: object) -> str | None:
    """A number, text, true or false in words; None for anything else, and for integers past 308 digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        # Python refuses to write integers of thousands of digits.
        return str(value) if value.bit_length() <= 1_024 else None
    return None
