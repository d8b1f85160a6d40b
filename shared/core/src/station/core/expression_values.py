"""Starlark's operations on JSON values, as starlark-rust has them and not as Python has them.

`True` is no number, an int and a float are compared as floats, NaN equals itself and is the greatest. Every function
raises ValueProblem where Starlark fails. The differential tests hold this against the real thing.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeGuard

from station.core.expression_errors import missing_member, quoted

_KINDS: Final[dict[type, str]] = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a tuple",
    dict: "an object",
    type(None): "null",
}


class ValueProblem(Exception):
    """An operation that these values do not allow."""


class NotNumbers(Exception):
    """Arithmetic on text or lists, which only the evaluator pool does."""


def kind(value: object) -> str:
    """Name the kind of a value in JSON's words."""
    return next((word for of, word in _KINDS.items() if isinstance(value, of)), "a value of no known kind")


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a value has members."""
    return isinstance(value, dict)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Tell whether a value is a list, or a tuple that the expression itself wrote."""
    return isinstance(value, (list, tuple))


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is an int or a float; a bool is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_float(number: float) -> float:
    """Convert, with infinity for an int that no float reaches."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def arithmetic(symbol: str, left: Any, right: Any) -> int | float:
    """Compute `left symbol right` on numbers. Raises NotNumbers, ValueProblem."""
    if not (is_number(left) and is_number(right)):
        if any(isinstance(value, str) or is_sequence(value) for value in (left, right)):
            raise NotNumbers
        raise ValueProblem(f"{symbol} does not go with {kind(left)} and {kind(right)}")
    if symbol in ("/", "//", "%") and right == 0:
        raise ValueProblem(f"division by zero: {left} {symbol} {right}")
    if isinstance(left, int) and isinstance(right, int) and symbol != "/":
        return _int_arithmetic(symbol, left, right)
    return _float_arithmetic(symbol, as_float(left), as_float(right))


def _int_arithmetic(symbol: str, left: int, right: int) -> int:
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "//":
            return left // right
        case _:
            return left % right


def _float_arithmetic(symbol: str, left: float, right: float) -> float:
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case "//":
            quotient = left / right
            return float(math.floor(quotient)) if math.isfinite(quotient) else quotient
        case _:
            return _remainder(left, right)


def _remainder(left: float, right: float) -> float:
    if math.isinf(left) or math.isnan(left) or math.isnan(right):
        return math.nan
    rest = math.fmod(left, right)
    if rest == 0:
        return 0.0
    return rest if (rest < 0) == (right < 0) else rest + right


def member(value: Any, name: str) -> Any:
    """Read `value.name`; where there is no member `result`, `.result` is the value itself."""
    if is_object(value):
        if name in value:
            return value[name]
        if name != "result":
            raise ValueProblem(missing_member(name, value))
    if name != "result":
        raise ValueProblem(f"no member {quoted(name)}: the value is {kind(value)}, not an object")
    return value


def item(value: Any, key: Any) -> Any:
    """Read `value[key]`."""
    if is_object(value):
        check_key(key)
        if isinstance(key, str) and key in value:
            return value[key]
        raise ValueProblem(missing_member(key, value) if isinstance(key, str) else f"no member {quoted(key)}")
    if not (isinstance(value, str) or is_sequence(value)):
        raise ValueProblem(f"{kind(value)} has no members to read with [ ]")
    if not isinstance(key, int) or isinstance(key, bool):
        raise ValueProblem(f"{kind(value)} is indexed by a whole number, not by {kind(key)}")
    if not -len(value) <= key < len(value):
        raise ValueProblem(f"index {key} is out of range: {kind(value)} of {len(value)}")
    return value[key]


def check_key(key: Any) -> None:
    """Refuse what cannot be an object's key."""
    if is_object(key) or (is_sequence(key) and isinstance(key, list)):
        raise ValueProblem(f"{kind(key)} cannot be a key")
    if is_sequence(key):
        for part in key:
            check_key(part)


def has_member(value: Any, name: Any) -> bool:
    """Answer `hasattr(value, name)` over data keys."""
    return _text_key("hasattr", name) in _object("hasattr", value)


def get_member(value: Any, name: Any, default: tuple[Any, ...]) -> Any:
    """Answer `getattr(value, name, *default)` over data keys."""
    key = _text_key("getattr", name)
    if not default:
        return member(value, key)
    return _object("getattr", value).get(key, default[0])


def get(value: Any, key: Any, default: Any = None) -> Any:
    """Answer `value.get(key, default)`."""
    data = _object(".get", value)
    check_key(key)
    return data.get(key, default) if isinstance(key, str) else default


def _object(function: str, value: Any) -> dict[str, Any]:
    if not is_object(value):
        raise ValueProblem(f"{function} reads an object, and the value is {kind(value)}")
    return value


def _text_key(function: str, name: Any) -> str:
    if not isinstance(name, str):
        raise ValueProblem(f"{function} takes the name as text, not {kind(name)}")
    return name


def length(value: Any) -> int:
    """Answer `len(value)`; of text, the number of characters."""
    if not (isinstance(value, str) or is_sequence(value) or is_object(value)):
        raise ValueProblem(f"len does not go with {kind(value)}")
    return len(value)


def signed(symbol: str, value: Any) -> int | float:
    """Compute `-value` or `+value`."""
    if not is_number(value):
        raise ValueProblem(f"{symbol} does not go with {kind(value)}")
    return -value if symbol == "-" else value
