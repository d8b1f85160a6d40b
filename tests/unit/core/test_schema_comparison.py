"""Verdicts on two schemas, and that no value ever contradicts one."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from station.core.schema_comparison import Comparisons, Verdict
from station.core.schema_examples import examples
from station.core.schema_references import without_references
from station.core.schemas import compile_schema

TEXT, WHOLE, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def of(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


CLOSED = {"additionalProperties": False}
CASES: list[tuple[str, Any, Any, Verdict]] = [
    ("whole into number", WHOLE, NUMBER, Verdict.FITS),
    ("number into whole", NUMBER, WHOLE, Verdict.MAY_FAIL),
    ("text into whole", TEXT, WHOLE, Verdict.CANNOT),
    ("one of several types", {"type": ["string", "null"]}, TEXT, Verdict.MAY_FAIL),
    ("narrower enum", {"enum": ["a"]}, {"enum": ["a", "b"]}, Verdict.FITS),
    ("wider enum", {"enum": ["a", "b"]}, {"enum": ["a"]}, Verdict.MAY_FAIL),
    ("other enum", {"enum": ["a"]}, {"enum": ["b"]}, Verdict.CANNOT),
    ("text into a format", TEXT, {"type": "string", "format": "email"}, Verdict.MAY_FAIL),
    ("another pattern", {"type": "string", "pattern": "^t"}, {"type": "string", "pattern": "^x"}, Verdict.MAY_FAIL),
    ("a format into text", {"type": "string", "format": "email"}, TEXT, Verdict.FITS),
    ("ranges apart", {"type": "integer", "maximum": 3}, {"type": "number", "minimum": 4}, Verdict.CANNOT),
    ("ranges overlap", {"type": "integer", "maximum": 5}, {"type": "integer", "minimum": 4}, Verdict.MAY_FAIL),
    ("lengths apart", {"type": "string", "maxLength": 3}, {"type": "string", "minLength": 4}, Verdict.CANNOT),
    ("required left out", of([], a=TEXT), of(["a"], a=TEXT), Verdict.OPTIONAL),
    ("required deep inside", of(["o"], o=of([], a=TEXT)), of(["o"], o=of(["a"], a=TEXT)), Verdict.OPTIONAL),
    ("of another type", of([], a=TEXT), of(["a"], a=WHOLE), Verdict.CANNOT),
    ("of another type, if there", of([], a=TEXT), of([], a=WHOLE), Verdict.MAY_FAIL),
    ("never there", of([]) | CLOSED, of(["a"], a=WHOLE), Verdict.CANNOT),
    ("not asked for", of(["a"], a=TEXT), of([]) | CLOSED, Verdict.CANNOT),
    ("perhaps more than asked for", of(["a"], a=TEXT), of(["a"], a=TEXT) | CLOSED, Verdict.UNKNOWN),
    ("nothing is said", {}, WHOLE, Verdict.UNKNOWN),
    ("an empty list fits", {"type": "array", "items": TEXT}, {"type": "array", "items": WHOLE}, Verdict.MAY_FAIL),
    ("a filled list", {"type": "array", "items": TEXT, "minItems": 1}, {"type": "array", "items": WHOLE}, Verdict.CANNOT),
    ("each of some", {"anyOf": [TEXT, {"type": "null"}]}, {"oneOf": [WHOLE, {"type": "boolean"}]}, Verdict.CANNOT),
    ("some of some", {"anyOf": [TEXT, WHOLE]}, WHOLE, Verdict.MAY_FAIL),
    ("nothing is taken", TEXT, {"allOf": [False]}, Verdict.CANNOT),
    ("too large", {"enum": ["x" * 20_000]}, WHOLE, Verdict.UNKNOWN),
    ("too many alternatives", {"anyOf": [TEXT] * 30}, {"anyOf": [TEXT] * 30}, Verdict.UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given_schema", "taken", "verdict"), CASES, ids=[case[0] for case in CASES])
def test_verdict(name: str, given_schema: Any, taken: Any, verdict: Verdict) -> None:
    found = Comparisons().of(given_schema, taken)
    assert found.verdict is verdict
    if verdict in (Verdict.MAY_FAIL, Verdict.OPTIONAL):
        example = json.loads(found.example)
        assert compile_schema(given_schema).is_valid(example)
        assert not compile_schema(taken).is_valid(example)
        assert found.reason


def schemas(depth: int = 2) -> st.SearchStrategy[Any]:
    plain = st.one_of(
        st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda kind: {"type": kind}),
        st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, st.integers(-3, 3), st.integers(0, 4)),
        st.builds(lambda least: {"type": "string", "minLength": least}, st.integers(0, 3)),
        st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 3)),
        st.lists(st.sampled_from(["a", "b", 1, None, True]), min_size=1, max_size=3).map(lambda values: {"enum": values}),
        st.builds(lambda value: {"const": value}, st.sampled_from(["a", 1, 1.5, {"a": 1}, []])),
        st.sampled_from([{"type": ["string", "null"]}, {"type": ["integer", "object"]}, {}, {"not": {"type": "string"}}]),
        st.sampled_from([{"pattern": "^a"}, {"type": "string", "pattern": "^t"}, {"type": "string", "format": "date"}, {"type": "integer", "multipleOf": 2}]),
        st.sampled_from([{"type": "array", "uniqueItems": True}, {"type": "array", "maxItems": 1}, {"type": "object", "minProperties": 1}]),
        st.sampled_from([{"exclusiveMinimum": 0}, {"type": "number", "exclusiveMaximum": 1}, {"if": TEXT, "then": {"minLength": 2}}]),
        st.sampled_from([{"patternProperties": {"a": TEXT}}, {"dependentRequired": {"a": ["b"]}}, {"propertyNames": {"maxLength": 0}}, {"contains": WHOLE}]),
    )  # fmt: skip
    if not depth:
        return plain
    inner = schemas(depth - 1)
    names = st.lists(st.sampled_from(["a", "b"]), unique=True)
    return st.one_of(
        plain,
        st.builds(
            lambda properties, required, closed: {"type": "object", "properties": properties, "required": required}
            | (CLOSED if closed else {}),
            st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2), names, st.booleans(),
        ),
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 1)),
        st.builds(lambda word, parts: {word: parts}, st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(inner, min_size=1, max_size=2)),
    )  # fmt: skip


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.data(), schemas(), schemas())
def test_no_value_contradicts_a_verdict(data: st.DataObject, given_schema: Any, taken: Any) -> None:
    verdict = Comparisons().of(given_schema, taken).verdict
    own, other = compile_schema(given_schema), compile_schema(taken)
    candidates = [value for one in (given_schema, taken) for value in _values(data, one)]
    for value in candidates:
        if verdict is Verdict.FITS:
            assert not own.is_valid(value) or other.is_valid(value)
        if verdict is Verdict.CANNOT:
            assert not (own.is_valid(value) and other.is_valid(value))


def _values(data: st.DataObject, schema: Any) -> list[Any]:
    made = [value for complete in (True, False) for value in examples(schema, complete=complete, limit=30)]
    try:
        drawn = [data.draw(from_schema(schema)) for _ in range(2)]
    except Exception:  # noqa: BLE001 - a schema that nothing keeps has no values
        drawn = []
    return [*made, *drawn]


def test_the_comparisons_of_a_definition_are_bounded() -> None:
    comparisons = Comparisons()
    small = comparisons.of(TEXT, WHOLE)
    assert small.verdict is Verdict.CANNOT
    wide = [of([], **{f"m{number}-{member}": TEXT for member in range(100)}) for number in range(100)]
    verdicts = [comparisons.of(schema, schema | {"title": "other"}).verdict for schema in wide]
    assert verdicts[0] is Verdict.FITS
    assert verdicts[-1] is Verdict.UNKNOWN
    assert comparisons.of(TEXT, WHOLE) == small, "what was answered stays answered"


def test_examples_are_always_the_same() -> None:
    schema = of(["a"], a={"enum": ["x", "y"]}, b={"type": "array", "items": NUMBER}, c={"anyOf": [TEXT, WHOLE]})
    once = list(examples(schema, complete=False, limit=40))
    assert once == list(examples(schema, complete=False, limit=40))
    assert len(once) > 3


REFERENCES: list[tuple[str, Any, Any]] = [
    ("definition", {"$ref": "#/$defs/a", "$defs": {"a": TEXT}}, TEXT),
    ("beside others", {"$ref": "#/$defs/a", "minLength": 1, "$defs": {"a": TEXT}}, {"minLength": 1, "allOf": [TEXT]}),
    ("chain", {"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": TEXT}}, {"items": TEXT}),
    ("circle", {"$ref": "#"}, None),
    ("nowhere", {"$ref": "#/$defs/a"}, None),
    ("escaped", {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": TEXT}}, TEXT),
    ("a property of that name", {"properties": {"$ref": TEXT, "$defs": WHOLE}}, {"properties": {"$ref": TEXT, "$defs": WHOLE}}),
    ("a value of that name", {"const": {"$ref": "#/x"}}, {"const": {"$ref": "#/x"}}),
    ("by an anchor", {"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}}, None),
    ("doubling", {"$ref": "#/$defs/a0", "$defs": {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": TEXT}}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "schema", "plain"), REFERENCES, ids=[case[0] for case in REFERENCES])
def test_references(name: str, schema: Any, plain: Any) -> None:
    assert without_references(schema) == plain
