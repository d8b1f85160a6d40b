"""Workflows with a bit of everything, for simulations; they expect the input ``GIVEN``."""

from __future__ import annotations

from tests.unit.core.definitions import action, agent, approval, foreach, inject, parallel, switch, workflow

RETRY = {"maxAttempts": 4, "backoffSeconds": 1, "multiplier": 2, "jitter": 0.5}

_ask = approval(timeoutSeconds=300, onReject="no", onTimeout="no") | {"name": "ask", "next": "yes"}
del _ask["end"]
_wait = action("signal.wait", signal="go") | {"name": "wait"}
_pause = action("timer.wait", seconds=7) | {"name": "pause"}

FIXED = (
    workflow(agent("a", retry=RETRY, next="b"), agent("b", retry=RETRY, timeoutSeconds=5, next="c"), agent("c")),
    workflow(_ask, agent("yes", retry=RETRY), inject("no", {"declined": True})),
    workflow(
        foreach("f", "list", agent("a", retry=RETRY, onError="z"), inject("z", 0, resultPath="r"), maxConcurrency=2)
    ),
    workflow(
        parallel(
            "p",
            work=[foreach("f", "list", agent("a", retry=RETRY, next="b"), agent("b"), maxConcurrency=3)],
            person=[_ask, agent("yes"), inject("no", {"declined": True})],
            signal=[_wait],
            timer=[_pause],
            way_on={"next": "after", "onError": "after"},
        ),
        agent("after", retry=RETRY),
    ),
    workflow(
        agent("work", retry=RETRY, resultPath="r", next="again"),
        switch({"if": "len(list) > 2 and r == 1", "next": "work"}, defaultNext="done") | {"name": "again"},
        inject("done", {"done": True}),
    ),
)
