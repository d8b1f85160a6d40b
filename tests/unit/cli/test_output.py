"""What is printed: durations, text of any origin, tables in pipes, log lines."""

import io
import json
from pathlib import Path

import msgspec
import pytest

from station.cli.errors import CommandError, RefusedRequest
from station.cli.output import Format, Output, duration, plain, show_error
from station.cli.supervisor.logs import LogSink
from station.contracts.problems import Problem


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, ""),
        (0, "0ms"),
        (999, "999ms"),
        (1500, "1.5s"),
        (59_900, "59.9s"),
        (250_000, "4m 10s"),
        (7_500_000, "2h 05m"),
    ],
)
def test_durations(milliseconds: int | None, text: str) -> None:
    assert duration(milliseconds) == text


def test_control_characters_cannot_reach_a_terminal() -> None:
    assert plain("a\x1b[2Jb\x07\nc\u202ed") == "a\\x1b[2Jb\\x07\nc\\x202ed"
    assert plain(None) == ""


def test_a_table_in_a_pipe_is_one_line_a_row_without_colours(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 60
    Output(Format.TABLE).table(("ID", "MESSAGE"), [("x", long), ("y", "[red]no markup[/red]")], empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split() == ["x", *long.split()]
    assert "[red]no markup[/red]" in lines[2]
    assert "\x1b" not in "".join(lines)


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.TABLE).table(("ID",), [], empty="no runs")
    assert capsys.readouterr().out == "no runs\n"


def test_fields_without_a_value_are_left_out_and_lines_stay_under_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output(Format.TABLE).fields([("run", "run_1"), ("error", None), ("output", "{\n  1\n}"), ("x", "")])
    assert capsys.readouterr().out == "run     run_1\noutput  {\n          1\n        }\n"


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.JSON).answer(Problem("c", "/p", "m", "h"))
    assert json.loads(capsys.readouterr().out) == {"code": "c", "path": "/p", "message": "m", "hint": "h"}


def test_an_error_says_what_where_and_what_to_do_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(CommandError("it is broken", where="over there", todo="mend it"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: it is broken\n  where: over there\n  → mend it\n"


def test_a_refusal_lists_its_problems(capsys: pytest.CaptureFixture[str]) -> None:
    problems = (Problem("missing", "/namespace", "is required", "add it"),)
    show_error(RefusedRequest(status=400, code="input_invalid", detail="bad input", request="POST /x", errors=problems))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: bad input [400 input_invalid]"
    assert lines[1].strip() == "missing at /namespace: is required"
    assert lines[2].strip() == "→ add it"


def test_log_lines_of_every_kind_become_records_of_one_stream(tmp_path: Path) -> None:
    out = io.StringIO()
    sink = LogSink(tmp_path, "json", out)
    sink.line("gateway", '{"ts": "2026-01-01T00:00:00Z", "level": "warning", "service": "gateway", "message": "slow"}')
    sink.line("nats-server", "[12] 2026/01/01 00:00:00.000000 [ERR] no space")
    sink.line("scheduler", "Traceback (most recent call last):")
    sink.notice("ready", api="http://x")
    sink.close()
    records = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
    found = [(record["service"], record["level"], record["message"]) for record in records]
    assert found == [
        ("gateway", "warning", "slow"),
        ("nats-server", "error", "no space"),
        ("scheduler", "info", "Traceback (most recent call last):"),
        ("stn", "info", "ready"),
    ]
    assert records[3]["api"] == "http://x"
    assert sink.file("nats-server").read_text() == "[12] 2026/01/01 00:00:00.000000 [ERR] no space\n"
    assert sink.tail("gateway") == ["slow"]


def test_a_log_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.cli.supervisor.logs.FILE_BYTES", 1000)
    sink = LogSink(tmp_path, "none")
    for number in range(1000):
        sink.line("a", f"line {number}")
    sink.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["a.log", "a.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000
    assert "line 999" in (tmp_path / "a.log").read_text()


def test_a_reader_that_has_gone_stops_the_stream_and_not_the_files(tmp_path: Path) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    sink = LogSink(tmp_path, "json", Gone())
    sink.line("a", "one")
    sink.line("a", "two")
    sink.close()
    assert sink.file("a").read_text() == "one\ntwo\n"
