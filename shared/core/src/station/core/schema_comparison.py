"""Does every value that one schema describes fit another one? Answers that are proved, else none.

`fits` is proved by jsoncompat, `cannot` by two schemas that exclude each other, and what lies between by a value that
keeps the one and breaks the other. Sizes are bounded, and equal questions are answered once.
"""

from __future__ import annotations

import json
import re
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import jsoncompat
import msgspec

from station.core.jsonvalue import is_array, is_object
from station.core.schema_examples import examples
from station.core.schema_overlap import exclude_each_other
from station.core.schemas import SchemaError, Validator, compile_schema, violations

MAX_COMPARED_BYTES = 16 * 1024
"""A schema larger than this is not compared."""
_MAX_ALTERNATIVES = 200
_MAX_WORK = 2_500_000
"""Characters of schemas, each counted `_DEPTH_COST` times and once more for each level: it takes half a second."""
_MAX_WORK_OF_ONE = 500_000
"""Of one comparison: nothing else runs in the process meanwhile."""
_DEPTH_COST = 5
_MAX_EXAMPLES = 60
_MAX_SHOWN = 160

_UNPROVED = re.compile(
    '"(?:format|pattern|patternProperties|propertyNames|contains|if|dependen[a-zA-Z]+|unevaluated[a-zA-Z]+'
    '|prefixItems|additionalItems|content[a-zA-Z]+|multipleOf)"'
)
"""Keywords that jsoncompat takes for remarks, or that nobody has tried: with one of them nothing is proved."""
_BRACKETS = re.compile(r"[{}\[\]]")


class Verdict(IntEnum):
    """How well what is given suits what is taken; the worse, the greater."""

    FITS = 0
    UNKNOWN = 1
    """Nothing is proved."""
    OPTIONAL = 2
    """It fits once it has every member that it declares, of which some are not required."""
    MAY_FAIL = 3
    CANNOT = 4


class Comparison(NamedTuple):
    """A verdict and, for the bad ones, why."""

    verdict: Verdict
    reason: str = ""
    place: str = ""
    """JSON pointer into the value."""
    example: str = ""
    """A value that does not fit, as JSON, perhaps cut short."""


class Comparisons:
    """The comparisons for one definition, which together cost no more than a bound; past it nothing is known."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Comparison] = {}
        self._left = _MAX_WORK

    def of(self, given: Any, taken: Any) -> Comparison:
        """Compare two schemas that hold no references."""
        question = _text(given), _text(taken)
        if question not in self._known:
            work = sum(len(text) * (_DEPTH_COST + _depth(text)) for text in question)
            affordable = work <= min(self._left, _MAX_WORK_OF_ONE)
            self._left -= work if affordable else 0
            self._known[question] = _compared(*question) if affordable else Comparison(Verdict.UNKNOWN)
        return self._known[question]


@lru_cache(maxsize=1024)
def _compared(given_text: str, taken_text: str) -> Comparison:
    given, taken = json.loads(given_text), json.loads(taken_text)
    if _too_large(given_text, given, taken_text, taken):
        return Comparison(Verdict.UNKNOWN)
    if given_text == taken_text:
        return Comparison(Verdict.FITS)
    if is_object(given) and ("const" in given or is_array(given.get("enum"))):
        return _compared_values(given_text, taken_text)
    if _proved(given_text, taken_text):
        return Comparison(Verdict.FITS)
    reason = exclude_each_other(given, taken)
    if reason is not None:
        found = _counterexample(given_text, taken_text, complete=True)
        return Comparison(Verdict.CANNOT, reason, "", found.example if found is not None else "")
    return _searched(given_text, taken_text)


def _too_large(given_text: str, given: Any, taken_text: str, taken: Any) -> bool:
    """Comparing costs the product of the alternatives."""
    size = max(len(given_text), len(taken_text))
    return size > MAX_COMPARED_BYTES or _alternatives(given) * _alternatives(taken) > _MAX_ALTERNATIVES


def _searched(given_text: str, taken_text: str) -> Comparison:
    for complete, verdict in ((True, Verdict.MAY_FAIL), (False, Verdict.OPTIONAL)):
        found = _counterexample(given_text, taken_text, complete=complete)
        if found is not None:
            return found._replace(verdict=verdict)
    return Comparison(Verdict.UNKNOWN)


def _compared_values(given_text: str, taken_text: str) -> Comparison:
    given, own, validator = json.loads(given_text), _validator(given_text), _validator(taken_text)
    if own is None or validator is None:
        return Comparison(Verdict.UNKNOWN)
    values = [value for value in ([given["const"]] if "const" in given else given["enum"]) if own.is_valid(value)]
    found = [_broken(validator, value, Verdict.MAY_FAIL) for value in values]
    bad = [one for one in found if one.verdict is not Verdict.FITS]
    if not bad:
        return Comparison(Verdict.FITS)
    return bad[0]._replace(verdict=Verdict.CANNOT if len(bad) == len(found) else Verdict.MAY_FAIL)


def _proved(given_text: str, taken_text: str) -> bool:
    if _UNPROVED.search(taken_text):
        return False
    try:
        return jsoncompat.check_compat(taken_text, given_text, "serializer")
    except ValueError:
        return False


def _counterexample(given_text: str, taken_text: str, *, complete: bool) -> Comparison | None:
    own, validator = _validator(given_text), _validator(taken_text)
    if own is None or validator is None:
        return None
    for value in examples(json.loads(given_text), complete=complete, limit=_MAX_EXAMPLES):
        if not validator.is_valid(value) and own.is_valid(value):
            return _broken(validator, value, Verdict.MAY_FAIL)
    return None


def _broken(validator: Validator, value: Any, verdict: Verdict) -> Comparison:
    problems = violations(validator, value, 1)
    if not problems:
        return Comparison(Verdict.FITS)
    return Comparison(verdict, problems[0].message, problems[0].path, _shown(value))


@lru_cache(maxsize=512)
def _validator(text: str) -> Validator | None:
    try:
        return compile_schema(json.loads(text))
    except SchemaError:
        return None


def _alternatives(schema: Any) -> int:
    """Count what a schema's combinations spread out to, roughly."""
    count, waiting = 1, [schema]
    while waiting:
        one = waiting.pop()
        if is_object(one):
            for word in ("anyOf", "oneOf", "allOf"):
                count += len(one[word]) if is_array(one.get(word)) else 0
            waiting += one.values()
        elif is_array(one):
            waiting += one
    return count


def _depth(text: str) -> int:
    """Count how deep a schema's JSON is nested, brackets in its texts included."""
    deepest = depth = 0
    for bracket in _BRACKETS.findall(text):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _text(schema: Any) -> str:
    return msgspec.json.encode(schema, order="deterministic").decode()


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
