"""JSON Schema: what is accepted, what a value breaks, and that nothing hangs or leaves the machine."""

from __future__ import annotations

from typing import Any

import pytest

from station.core.schemas import MAX_SCHEMA_BYTES, SchemaError, check_schema, compile_schema, violations


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"x": {}}, "$ref": "#/definitions/x"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}, "enum": {"type": "string"}}},
        {"const": {"$ref": "http://somewhere/", "pattern": "("}},
        {"pattern": "^(a+)+$", "format": "email"},
        {"format": "house-style"},
    ],
)
def test_accepts(schema: Any) -> None:
    assert check_schema(schema) == []
    compile_schema(schema)


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"type": "strin"}, "/type", "strin"),
        ({"properties": {"a/b": {"minimum": "1"}}}, "/properties/a~1b/minimum", "number"),
        ({"required": "a"}, "/required", "array"),
        (5, "", "5 is not of type"),
        ("text", "", "is not of type"),
        ({"items": {"pattern": "(?=a)"}}, "/items/pattern", "linear time"),
        ({"pattern": "a{1000}{1000}{1000}"}, "/pattern", "linear time"),
        ({"patternProperties": {"(": {}}}, "/patternProperties/(", "linear time"),
        ({"$ref": "http://example.test/x"}, "/$ref", "outside of this schema"),
        ({"items": {"$ref": "file:///etc/passwd"}}, "/items/$ref", "outside of this schema"),
        ({"$ref": "#/$defs/missing"}, "", "does not exist"),
        ({"$schema": "https://unknown.test/x"}, "/$schema", "is not known"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "", "are allowed"),
    ],
)
def test_refuses(schema: Any, path: str, message: str) -> None:
    problem = check_schema(schema)[0]
    assert (problem.code, problem.path) == ("bad_schema", path)
    assert message in problem.message


@pytest.mark.parametrize("levels", [70, 3000])
def test_refuses_what_is_nested_too_deep(levels: int) -> None:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    assert "nested more than" in check_schema(schema)[0].message


def test_all_problems_are_listed() -> None:
    problems = check_schema({"type": "strin", "properties": {"a": {"pattern": "("}, "b": {"$ref": "x.json"}}})
    assert [problem.path for problem in problems] == ["/type", "/properties/a/pattern", "/properties/b/$ref"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/x", "file:///etc/passwd", "other.json"])
def test_compiling_fetches_nothing(uri: str) -> None:
    with pytest.raises(SchemaError, match="not present in a registry"):
        compile_schema({"$ref": uri})


def test_violations_have_a_place_and_a_message() -> None:
    schema = {
        "properties": {"a/b": {"items": {"type": "integer"}}, "when": {"format": "date-time"}},
        "required": ["n"],
    }
    found = violations(compile_schema(schema), {"a/b": [1, "x"], "when": "soon"})
    assert [(problem.code, problem.path) for problem in found] == [
        ("schema", ""),
        ("schema", "/a~1b/1"),
        ("schema", "/when"),
    ]
    assert found[0].message == '"n" is a required property'


def test_violations_are_limited_in_number_and_length() -> None:
    validator = compile_schema({"items": {"type": "integer"}})
    assert len(violations(validator, ["x" * 5000] * 100)) == 20
    assert len(violations(validator, ["x" * 5000], limit=1)[0].message) < 400


def test_a_hostile_pattern_takes_linear_time() -> None:
    assert violations(compile_schema({"pattern": "^(a+)+$"}), "a" * 200_000 + "b")
