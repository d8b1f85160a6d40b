"""The workflows of the chaos: every kind of state and of waiting. Every execution of an agent leaves a mark."""

from collections.abc import Mapping
from typing import Any

from tests.e2e.workflows import State, agent, ask, foreach, inject, operation, parallel, switch, wait_signal, wait_timer

PEOPLE = ("user:alice", "user:bob", "team:sre")
ITEMS = 5
ROUNDS = 3


def work(name: str, *, answer: Any = None, count: Any = None, **more: Any) -> State:
    """A state whose every execution leaves a mark."""
    given = {"answer": answer} if count is None else {"count": count}
    for option in ("seconds", "failures"):
        if option in more:
            given[option] = more.pop(option)
    return agent(name, "mark", variables=given, **more)


def _retry(attempts: int) -> dict[str, Any]:
    return {"maxAttempts": attempts, "backoffSeconds": 0.3, "multiplier": 2}


def _question(name: str, **more: Any) -> State:
    return ask(name, f"{name}?", **more)


DEFINITIONS: Mapping[str, tuple[State, ...]] = {
    "chain": (work("a", answer=1, next="b"), work("b", answer="{{ steps.a.answer }}", next="c"), work("c", answer=3)),
    "slow": (work("begin", next="hold"), work("hold", answer="held", seconds=1.5)),
    "gate": (
        work("prepare", answer="plan", next="gate"),
        _question("gate", summaryPath="steps.prepare", approvers=list(PEOPLE), onReject="refuse", next="act"),
        work("act", answer="done"),
        work("refuse", answer="refused"),
    ),
    "quorum": (_question("both", approvers=list(PEOPLE), quorum=2, next="act"), work("act", answer="done")),
    "unheard": (
        operation(
            "unheard", "human.approval", {"message": "Nobody?", "timeoutSeconds": 2, "onTimeout": "late"}, next="never"
        ),
        work("never", answer="never"),
        work("late", answer="late"),
    ),
    "signals": (
        work("before", next="first"),
        wait_signal("first", "go", next="second"),
        wait_signal("second", "go", next="after"),
        work("after", answer=["{{ steps.first }}", "{{ steps.second }}"]),
    ),
    "retry": (work("try", answer="at last", failures=2, retry=_retry(3)),),
    "hopeless": (
        work("try", failures=9, retry=_retry(2), onError="mend", next="never"),
        work("never"),
        work("mend", answer="{{ error.type }}"),
    ),
    "timer": (wait_timer("wait", 1.5, next="after"), work("after", answer="waited")),
    "overdue": (
        work("hang", seconds=60, timeoutSeconds=1, onError="after", next="never"),
        work("never"),
        work("after", answer="{{ error.type }}"),
    ),
    "parallel": (
        parallel(
            "all",
            {
                "agents": [work("one", answer=1, next="two"), work("two", answer=2)],
                "timer": [wait_timer("wait", 1, next="then"), work("then", answer="then")],
                "person": [_question("say", approvers=list(PEOPLE))],
                "signal": [wait_signal("hear", "go")],
            },
            next="after",
        ),
        work("after", answer="{{ steps.all.agents.result.answer }}"),
    ),
    "foreach": (
        foreach("each", "items", [work("do", answer="{{ item }}")], maxConcurrency=3, next="after"),
        work("after", answer="after"),
    ),
    "nested": (
        foreach(
            "each",
            "items",
            [parallel("both", {"left": [work("l", answer="{{ item }}")], "right": [work("r", answer="{{ index }}")]})],
            maxConcurrency=2,
            next="after",
        ),
        work("after", answer="after"),
    ),
    "loop": (
        inject("begin", {"counter": {"count": 0}}, next="add"),
        work("add", count="{{ counter.count }}", resultPath="counter", next="enough"),
        switch("enough", {f"counter.count < {ROUNDS}": "add"}, default="after"),
        work("after", answer="{{ counter.count }}"),
    ),
    "cancelled": (work("begin", next="hang"), work("hang", seconds=120, next="never"), work("never")),
    "paused": (work("a", next="b"), work("b", seconds=0.5, next="c"), work("c", answer="resumed")),
}
