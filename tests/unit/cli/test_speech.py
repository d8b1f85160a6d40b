"""What agents say, as lines: whole ones, by whom, and shortened where it would be too much."""

from typing import Any

import pytest

from station.cli.live import speech_line, tree_lines
from station.cli.speech import Speech
from station.contracts.progress import AgentProgress, ProgressKind
from tests.unit.cli.events import Story
from tests.unit.cli.test_progress import NOW, begun, folded


def said(kind: ProgressKind, agent: str = "triage", step: str = "check", **facts: Any) -> AgentProgress:
    at = "2026-01-01T00:00:07.123Z"
    return AgentProgress(run_id="run_1", step_id=step, attempt=1, number=1, at=at, agent=agent, kind=kind, **facts)


def lines(*heard: AgentProgress) -> list[str]:
    speech = Speech()
    return [line for one in heard for line in speech.hear(one)]


def test_text_comes_in_whole_lines_and_the_rest_when_something_else_follows() -> None:
    speech = Speech()
    assert speech.hear(said("text", text="Looking at ")) == []
    assert speech.last("check", 3) == ["Looking at "]
    assert speech.hear(said("text", text="pods.\n\nThen at")) == ["Looking at pods."]
    assert speech.hear(said("tool_call", tool="k8s__pods", arguments={"ns": "shop"})) == [
        "Then at",
        '→ k8s__pods {"ns":"shop"}',
    ]
    assert speech.last("check", 2) == ["Then at", '→ k8s__pods {"ns":"shop"}']


def test_an_agent_that_was_called_says_who_it_is() -> None:
    assert lines(
        said("started"),
        said("started", agent="reader"),
        said("text", agent="reader", text="reading"),
        said("text", text="waiting"),
        said("finished", agent="reader", text="no file", is_error=True),
        said("finished", agent="reader"),
        said("finished"),
    ) == ["[reader] reading", "waiting", "[reader] ✘ no file", "[reader] done"]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        ("ok", "← ok"),
        ("a\nb\nc\n", "← 3 lines"),
        ({"pods": 2}, '← {"pods":2}'),
        (["x" * 100], "← 104 characters"),
        (None, "← null"),
    ],
)
def test_a_result_is_shown_if_it_is_short(result: Any, line: str) -> None:
    assert lines(said("tool_result", tool="t", result=result)) == [line]


def test_other_facts() -> None:
    assert lines(said("tool_result", result="no such pod", is_error=True)) == ["← failed: no such pod"]
    (line,) = lines(said("tool_result", result="no such pod\n" + "why " * 200, is_error=True))
    assert line.startswith("← failed: no such pod why why")
    assert len(line) < 320
    assert lines(said("retry", text="429, in 2 s")) == ["tries again: 429, in 2 s"]
    assert lines(said("text", truncated=True)) == ["… the rest of what it says is not shown"]
    (call,) = lines(said("tool_call", tool="t", arguments={"text": "x" * 500}))
    assert len(call) < 200
    assert call.endswith("…")
    assert lines(said("text", text="\x1b[31mred\t!\r\n")) == ["\\x1b[31mred  !"]


def looking() -> Story:
    story = begun()
    story.enter("check", action="agent.run")
    story.add("step_started", "check")
    return story


def test_the_tree_shows_it_under_the_step_while_that_runs() -> None:
    speech = Speech()
    for number in range(10):
        speech.hear(said("text", text=f"line {number}\n"))
    speech.hear(said("text", text="and th"))
    story = looking()
    shown = [line.plain for line in tree_lines(folded(story), NOW, speech)][2:]
    assert shown == [*(f"    │ line {number}" for number in range(5, 10)), "    │ and th"]
    story.add("step_succeeded", "check", usage={"requests": 1, "costUsd": 0.25})
    shown = [line.plain for line in tree_lines(folded(story), NOW, speech)][1:]
    assert shown == ["  ✔ check  agent.run  2.0s  1 request, $0.2500"]


def test_a_line_for_a_log_names_the_step() -> None:
    heard = said("text", text="hm\n")
    assert speech_line(heard, "hm", folded(looking())) == "00:00:07.123      check │ hm"
    assert speech_line(heard, "hm", folded(begun())) == "00:00:07.123      triage │ hm", "it came before the event"
