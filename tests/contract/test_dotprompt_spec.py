"""The public cases of the dotprompt format, where they are at hand: they are not part of this repository."""

import os
from pathlib import Path

import pytest

from tests.dotprompt_spec import cases, play, play_all

BESIDE = Path(__file__).parents[3] / "shared/data/dotprompt-spec"
FOLDER = Path(os.environ.get("DOTPROMPT_SPEC") or BESIDE)
THERE = FOLDER.is_dir()
CASE = """
- name: greeting
  template: "Hello, {{name}}!"
  tests:
    - {data: {input: {name: Ada}}, expect: {messages: [{role: user, content: [{text: "Hello, Ada!"}]}]}}
    - {data: {input: {name: Ada}}, expect: {messages: [{role: user, content: [{text: "Hello, Bob!"}]}]}}
    - {desc: wrong model, data: {input: {name: Ada}}, expect: {model: other}}
- name: broken
  template: "Hello, {{name"
  tests: [{expect: {messages: []}}]
- name: schema by name
  template: "---\\noutput: {schema: Foo}\\n---\\n"
  schemas: {Foo: {type: string}}
  tests: [{expect: {output: {schema: {type: string}}}}]
- name: no such type
  template: "---\\noutput: {schema: Foo}\\n---\\n"
  tests: [{expect: {output: {schema: {type: string}}}}]
"""


async def test_every_case_of_the_specification_passes_or_is_out_of_scope_for_a_reason() -> None:
    if not THERE:
        pytest.skip(f"the specification's cases are not at {FOLDER}; name their folder with DOTPROMPT_SPEC")
    results = await play_all(FOLDER)
    assert results, f"no case in {FOLDER}"
    assert not [result for result in results if result.verdict == "failed"]
    assert all(result.reason for result in results if result.verdict == "out of scope")


async def test_a_case_can_fail(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/cases.yaml").write_text(CASE)
    results = [await play(*case) for case in cases(tmp_path)]
    assert [result.verdict for result in results] == ["passed", "failed", "failed", "failed", "out of scope", "failed"]
    assert "Hello, Bob!" in results[1].reason
    assert "'Foo'" in results[4].reason
