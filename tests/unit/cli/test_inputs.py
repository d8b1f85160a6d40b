"""What a person types becomes JSON, or is refused with the way to write it."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from station.cli.documents import WorkflowFile, workflow_files
from station.cli.errors import USAGE, CommandError
from station.cli.inputs import check_text, input_pairs, json_argument, label_pairs, object_argument, segment


def test_pairs_keep_json_types_and_everything_else_is_text() -> None:
    pairs = ["n=1", "ok=true", "text=hello", 'quoted="1"', "list=[1,2]", "empty=", "eq=a=b", "a.b.c=2", "a.d=x"]
    assert input_pairs(pairs) == {
        "n": 1,
        "ok": True,
        "text": "hello",
        "quoted": "1",
        "list": [1, 2],
        "empty": "",
        "eq": "a=b",
        "a": {"b": {"c": 2}, "d": "x"},
    }


def test_labels_are_always_text() -> None:
    assert label_pairs(["n=1", "team=sre"]) == {"n": "1", "team": "sre"}


@pytest.mark.parametrize("pair", ["novalue", "=x"])
def test_a_pair_without_a_name_or_a_value_is_refused(pair: str) -> None:
    for read in (input_pairs, label_pairs):
        with pytest.raises(CommandError) as error:
            read([pair])
        assert error.value.exit_code == USAGE


def test_a_member_of_a_number_is_refused() -> None:
    with pytest.raises(CommandError, match="a has a value already"):
        input_pairs(["a=1", "a.b=2"])


def test_json_comes_as_it_is_from_a_file_or_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"a": 1}')
    assert json_argument("--input", '{"a": 1}') == {"a": 1}
    assert json_argument("--input", f"@{file}") == {"a": 1}
    monkeypatch.setattr("station.cli.inputs.sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"[1]")))
    assert json_argument("--input", "-") == [1]
    assert json_argument("--input", None) is None


@pytest.mark.parametrize("text", ["{a: 1}", "", "@/does/not/exist", "[" * 100_000])
def test_what_is_no_json_is_refused_as_usage(text: str) -> None:
    with pytest.raises(CommandError) as error:
        json_argument("--input", text)
    assert error.value.exit_code == USAGE
    assert "--input" in error.value.what


def test_a_value_that_is_nested_too_deep_is_text_as_it_stands() -> None:
    assert input_pairs(["a=" + "[" * 100_000]) == {"a": "[" * 100_000}


def test_an_id_leads_nowhere_else() -> None:
    assert segment("run_1") == "run_1"
    assert segment("../a?b#c é") == "..%2Fa%3Fb%23c%20%C3%A9"
    for name in ("", ".", ".."):
        with pytest.raises(CommandError):
            segment(name)


def test_bytes_that_are_no_text_are_refused_as_usage() -> None:
    check_text(["plain", "zoë", "😀", ""])
    with pytest.raises(CommandError, match="UTF-8") as error:
        check_text(["plain", b"a\xff".decode(errors="surrogateescape")])
    assert error.value.exit_code == USAGE
    assert error.value.where == "a?"


def test_an_input_must_be_an_object() -> None:
    with pytest.raises(CommandError, match="must be a JSON object"):
        object_argument("--input", "[1]")


YAML = """\
id: check
name: "Check"
states:
  - name: a
    type: inject
    data:
      x/y: 1
  - name: b
    nxt: c
"""


@pytest.mark.parametrize(
    ("pointer", "line"),
    [("", None), ("/id", 1), ("/states/1", 8), ("/states/1/nxt", 9), ("/states/0/data/x~1y", 7), ("/states/1/gone", 8)],
)
def test_a_problem_has_the_line_of_its_place(pointer: str, line: int | None) -> None:
    assert WorkflowFile("x.workflow.yaml", YAML.encode()).line_of(pointer) == line


def test_a_file_that_cannot_be_parsed_has_no_lines_and_no_id() -> None:
    broken = WorkflowFile("x.workflow.yaml", b"a: [1")
    assert broken.line_of("/a") is None
    assert broken.workflow_id is None
    assert WorkflowFile("x.workflow.yaml", YAML.encode()).workflow_id == "check"


def test_folders_give_their_workflow_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.workflow.yaml", "a.workflow.json", "deep/c.workflow.yml", "notes.yaml", "README.md"):
        (tmp_path / name).write_text("{}")
    found = [Path(file.path).name for file in workflow_files([str(tmp_path)])]
    assert found == ["a.workflow.json", "b.workflow.yaml", "c.workflow.yml"]
    with pytest.raises(CommandError, match="no workflow files"):
        workflow_files([str(_empty(tmp_path))])


def _empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder
