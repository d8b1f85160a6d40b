"""Values from outside, as JSON that encodes, decodes and comes back from the store as it is."""

from __future__ import annotations

from typing import Any

import msgspec

from station.core.jsonvalue import is_array, is_object, large_integer, may_hold_large_integers

MAX_NESTING = 200
"""Objects and lists within one another in a value from outside; what encodes and decodes it calls itself as deep."""


class NotJsonError(ValueError):
    """A value that JSON cannot hold, or not that deep."""


def plain_json(value: Any) -> tuple[Any, int]:
    """Give a value as it comes back from the store, and its size in bytes. Raises NotJsonError."""
    try:
        encoded = msgspec.json.encode(value)
        if encoded.count(b"[") + encoded.count(b"{") > MAX_NESTING and _is_deeper(value, MAX_NESTING):
            raise NotJsonError(f"objects and lists are nested more than {MAX_NESTING} deep")
        plain = msgspec.json.decode(encoded)
    except RecursionError:
        raise NotJsonError(f"objects and lists are nested more than {MAX_NESTING} deep") from None
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError) as problem:
        raise NotJsonError(str(problem)) from None
    pointer = large_integer(plain) if may_hold_large_integers(encoded) else None
    if pointer is not None:
        raise NotJsonError(f"the integer at {pointer or '/'} has more than 64 bits: give it as text")
    return plain, len(encoded)


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [member for container in level for member in _members(container)]
        if not level:
            return False
    return True


def _members(value: Any) -> list[Any]:
    if is_object(value):
        return list(value.values())
    return value if is_array(value) else []
