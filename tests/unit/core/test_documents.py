"""Documents: only what JSON can say, places in every refusal, and no input that hangs or crashes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.documents import MAX_DOCUMENT_BYTES, parse_document


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on: on", {"on": "on"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 010", {"a": "010"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        (
            "a: [yes, No, True, TRUE, ~, Null, 0x1f, 1_000, +1, .5, 1.]",
            {"a": ["yes", "No", "True", "TRUE", "~", "Null", "0x1f", "1_000", "+1", ".5", "1."]},
        ),
        ("a: [true, false, null, 1, -2, 0.5, 1e3, -0]", {"a": [True, False, None, 1, -2, 0.5, 1000.0, 0]}),
        ("a:", {"a": None}),
        ("a: ''", {"a": ""}),
        ("a: '1'\nb: \"true\"\nc: |\n  5\n", {"a": "1", "b": "true", "c": "5\n"}),
        ("version: 1.10", {"version": "1.10"}),
        ("version: 1", {"version": "1"}),
        ("version: '2.0'", {"version": "2.0"}),
        ("version:", {"version": None}),
        ("data: {version: 1.10}", {"data": {"version": 1.1}}),
        ('{"version": 1.10, "data": {"version": 1.50}}', {"version": "1.10", "data": {"version": 1.5}}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ("{a: 1, b: [x, y]}", {"a": 1, "b": ["x", "y"]}),
        ("\ufeffa: 1", {"a": 1}),
        ("<<: x", {"<<": "x"}),
    ],
)
def test_reads(text: str, expected: Any) -> None:
    document = parse_document(text)
    assert document.problems == ()
    assert document.data == expected
    assert json.dumps(document.data) == json.dumps(expected)


@pytest.mark.parametrize(
    ("text", "code", "path", "place"),
    [
        ("a: 1\nb: &x 2\n", "yaml_anchor", "/b", "line 2, column 4"),
        ("a: *x\n", "yaml_anchor", "/a", "line 1, column 4"),
        ("a: !!str 5", "yaml_tag", "/a", "line 1, column 4"),
        ("a:\n  - x\n  - !foo {b: 1}", "yaml_tag", "/a/1", "line 3, column 5"),
        ("a: 1\na: 2", "duplicate_key", "/a", "line 2, column 1"),
        ("s:\n- n: 1\n- n: 1\n  n: 2", "duplicate_key", "/s/1/n", "line 4, column 3"),
        ("s:\n  404: gone", "key_not_text", "/s", "line 2, column 3"),
        ("? [a]\n: 1", "key_not_text", "", "line 1, column 3"),
        ("a: .nan", "bad_number", "/a", "line 1, column 4"),
        ("a: -.inf", "bad_number", "/a", "line 1, column 4"),
        ("a: Infinity", "bad_number", "/a", "line 1, column 4"),
        ("a: 1e999", "bad_number", "/a", "line 1, column 4"),
        ("a: " + "9" * 5000, "bad_number", "/a", "line 1, column 4"),
        (f"a: {2**64}", "bad_number", "/a", "line 1, column 4"),
        ("a: [1", "document_syntax", "", "line 2, column 1"),
        ("a: 1\n---\nb: 2", "document_syntax", "", "line 2, column 1"),
        ("a: \x01", "document_syntax", "", ""),
        ("", "document_syntax", "", "empty"),
        ("# only a comment", "document_syntax", "", "empty"),
        ('a: "\\ud800"', "document_syntax", "", "line 1"),
    ],
)
def test_refuses_yaml(text: str, code: str, path: str, place: str) -> None:
    problem = parse_document(text).problems[0]
    assert (problem.code, problem.path) == (code, path)
    assert place in problem.message


@pytest.mark.parametrize(
    ("text", "code", "path", "place"),
    [
        ('{"a": 1,\n "a": 2}', "duplicate_key", "/a", "line 2, column 2"),
        ('{"s": [{"n": 1}, {"n": 1, "\\u006e": 2}]}', "duplicate_key", "/s/1/n", "line 1, column 27"),
        ('{"a": NaN}', "document_syntax", "", "line 1, column 7"),
        ('{"a": -Infinity}', "document_syntax", "", "line 1"),
        ('{"a": 1e999}', "bad_number", "", "line 1"),
        (f'{{"a": [{2**64 - 1}, {-(2**63) - 1}]}}', "bad_number", "/a/1", "64 bits"),
        ('{"a": 1', "document_syntax", "", "line 1"),
        ('{"a": "\\ud800"}', "document_syntax", "", "line 1"),
        ("a: 1", "document_syntax", "", "line 1"),
        ("", "document_syntax", "", "line 1"),
    ],
)
def test_refuses_json(text: str, code: str, path: str, place: str) -> None:
    problem = parse_document(text, "application/json; charset=utf-8").problems[0]
    assert (problem.code, problem.path) == (code, path)
    assert place in problem.message


def test_thousands_of_problems_of_json_are_cut_short() -> None:
    text = "{" + ", ".join('"a": 1' for _ in range(10_000)) + "}"
    assert len(parse_document(text, "application/json").problems) == 100


def test_every_problem_of_a_document_is_listed() -> None:
    problems = parse_document("a: &x 1\nb: *x\nb: !!int 3\n1: 2\n").problems
    assert [problem.code for problem in problems] == [
        "yaml_anchor",
        "yaml_anchor",
        "duplicate_key",
        "yaml_tag",
        "key_not_text",
    ]


@pytest.mark.parametrize("content_type", ["application/json", "application/yaml"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_limited_without_recursion(opening: str, closing: str, content_type: str) -> None:
    def nested(depth: int) -> list[str]:
        text = '{"x":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}"
        return [problem.code for problem in parse_document(text, content_type).problems]

    assert nested(64) == []
    assert nested(65) == ["document_too_deep"]
    assert nested(20_000) == ["document_too_deep"]


def test_nested_blocks_are_limited() -> None:
    text = "".join(f"{' ' * depth}a:\n" for depth in range(70))
    assert [problem.code for problem in parse_document(text).problems] == ["document_too_deep"]


def test_size_is_limited_in_bytes() -> None:
    assert parse_document("a: " + "x" * (MAX_DOCUMENT_BYTES - 3)).problems == ()
    assert parse_document("a: " + "é" * (MAX_DOCUMENT_BYTES // 2)).problems[0].code == "document_too_large"


def test_text_that_is_not_utf8_is_refused() -> None:
    assert parse_document(b"a: \xff").problems[0].code == "document_syntax"
    assert parse_document("a: \ud800").problems[0].code == "document_syntax"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda value: st.lists(value, max_size=4) | st.dictionaries(st.text(), value, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text().filter(lambda name: name != "version"), JSON, max_size=5), st.sampled_from([None, 2]))
def test_json_reads_back(data: dict[str, Any], indent: int | None) -> None:
    document = parse_document(json.dumps(data, indent=indent), "application/json")
    assert document.problems == ()
    assert document.data == data


@given(st.text(alphabet=st.sampled_from("ab:- \n[]{},&*!|>'\"#?%@`\t0.1~"), max_size=60))
def test_no_text_crashes_the_reader(text: str) -> None:
    document = parse_document(text)
    assert document.problems or json.dumps(document.data) is not None
