"""What loading says of schemas along the flow: every construct that a value comes through, and every verdict."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

from typing import Any

import pytest

from station.core.loading import AgentInfo, Loaded, load
from tests.unit.core.definitions import action, agent, approval, foreach, inject, parallel, switch, workflow


def of(required: list[str] | None = None, *, closed: bool = False, **properties: Any) -> dict[str, Any]:
    """A schema of objects."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    } | ({"additionalProperties": False} if closed else {})


TEXT, WHOLE, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
LEVEL = {"type": "string", "enum": ["low", "high"]}
POD = of(name=TEXT, ready={"type": "boolean"})
AGENTS = {
    each.name: each
    for each in (
        AgentInfo("x"),
        # What is made
        AgentInfo("says", output_schema=of(text=TEXT)),
        AgentInfo("counts", output_schema=of(n=WHOLE)),
        AgentInfo("measures", output_schema=of(n=NUMBER)),
        AgentInfo("loose", output_schema=of([], n=WHOLE, status=LEVEL)),
        AgentInfo("closed", output_schema=of(closed=True, status=LEVEL)),
        AgentInfo("pods", output_schema=of(pods={"type": "array", "items": POD})),
        AgentInfo("names", output_schema={"type": "array", "items": TEXT}),
        AgentInfo("refers", output_schema=of(pod={"$ref": "#/$defs/pod"}) | {"$defs": {"pod": POD}}),
        AgentInfo("circles", output_schema=of(n={"$ref": "#/$defs/n"}) | {"$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}}),
        AgentInfo("maybe", output_schema={"anyOf": [of(n=WHOLE), of(n=TEXT)]}),
        AgentInfo("never", output_schema={"anyOf": [of(n={"type": "boolean"}), of(n=TEXT)]}),
        AgentInfo("counts@other", output_schema=of(n=TEXT)),
        # What is taken
        AgentInfo("n", of(n=WHOLE)),
        AgentInfo("level", of(level=LEVEL)),
        AgentInfo("status", of(of_pod=of(status=LEVEL))),
        AgentInfo("all", of(status=LEVEL)),
        AgentInfo("list", of(list={"type": "array", "items": TEXT})),
        AgentInfo("pod", of(pod=POD)),
        AgentInfo("nested", of(filter=of(ns=TEXT, limit=WHOLE))),
        AgentInfo("only", of(closed=True, a=TEXT)),
        AgentInfo("asks", of(task=WHOLE)),
        AgentInfo("has", of(n=WHOLE, m=TEXT), defaults=("m",)),
        AgentInfo("either", {"anyOf": [of(n=WHOLE), of(m=TEXT)]}),
        AgentInfo("not", of(n={"not": {"type": "integer"}})),
        AgentInfo("decision", of(yes={"type": "boolean"}, who=TEXT)),
    )
}  # fmt: skip
INPUT = of(["n"], n=WHOLE, s=TEXT, list={"type": "array", "items": of(id=WHOLE)})


def gives(name: str, to: str, /, *, way_on: dict[str, Any] | None = None, **variables: Any) -> dict[str, Any]:
    return agent(name, input={"agent": to, "variables": variables}, **(way_on or {}))


def makes(name: str, of_agent: str, next_: str | None = "b", **fields: Any) -> dict[str, Any]:
    return agent(name, input={"agent": of_agent}, **({"next": next_} if next_ else {}), **fields)


def after(maker: str, taker: str, /, **variables: Any) -> dict[str, Any]:
    """One agent after another."""
    return workflow(makes("a", maker), gives("b", taker, **variables))


FORK = switch({"if": "x", "next": "a"}, defaultNext="c")
CANNOT, MAY, OPTIONAL, MEMBER, TYPO = (
    "schema_cannot",
    "schema_may_fail",
    "schema_optional",
    "unknown_member",
    "undeclared_member",
)
B_N = "/states/1/input/variables/n"

CASES: dict[str, tuple[str, Any, str, tuple[str, ...]]] = {
    # Verdicts
    "type": (CANNOT, after("says", "n", n="{{ steps.a.text }}"), B_N, ("string is never integer", "the state 'a'")),
    "may be a fraction": (MAY, after("measures", "n", n="{{ steps.a.n }}"), B_N, ("as in 0.5", "the state 'a'")),
    "any text into an enum": (MAY, after("says", "level", level="{{ steps.a.text }}"), "/states/1/input/variables/level", ("as in",)),
    "optional member": (OPTIONAL, after("loose", "n", n="{{ steps.a.n }}"), B_N, ("declared, not required",)),
    "optional inside": (OPTIONAL, after("loose", "status", of_pod="{{ steps.a }}"), "/states/1/input/variables/of_pod", ("only if it is complete", "as in {}", "'status'")),
    "closed and lacks it": (CANNOT, after("closed", "pod", pod="{{ steps.a }}"), "/states/1/input/variables/pod", ("not allowed",)),
    "open and lacks it": (MAY, after("says", "pod", pod="{{ steps.a }}"), "/states/1/input/variables/pod", ('as in {"text": ',)),
    "all alternatives": (CANNOT, after("never", "n", n="{{ steps.a.n }}"), B_N, ("never integer",)),
    "one alternative": (MAY, after("maybe", "n", n="{{ steps.a.n }}"), B_N, ('as in "text"',)),
    # Fixed values
    "literal": (CANNOT, workflow(gives("a", "n", n="5")), "/states/0/input/variables/n", ('"5" is not',)),
    "null": (CANNOT, workflow(gives("a", "n", n=None)), "/states/0/input/variables/n", ("null is not",)),
    "text around": (CANNOT, after("counts", "n", n="no {{ steps.a.n }}"), B_N, ("string is never integer",)),
    "inside an object": (CANNOT, after("says", "nested", filter={"ns": "x", "limit": "{{ steps.a.text }}"}), "/states/1/input/variables/filter", ("at /limit",)),
    "inside a list": (CANNOT, after("counts", "list", list=["{{ steps.a.n }}"]), "/states/1/input/variables/list", ("at /0",)),
    "some of a list": (MAY, after("counts", "list", list=["x", "{{ steps.a.n }}"]), "/states/1/input/variables/list", ("at /0",)),
    # What is given at all
    "not given": (CANNOT, workflow(gives("a", "n")), "/states/0/input/variables", ("requires the variable 'n'",)),
    "nothing given": (CANNOT, workflow(agent(input={"agent": "n"})), "/states/0/input", ("requires the variable 'n'",)),
    "not allowed": (CANNOT, workflow(gives("a", "only", a="x", b=1)), "/states/0/input/variables/b", ("not among the members",)),
    "the task": (CANNOT, workflow(agent(input={"agent": "asks", "task": "go {{ n }}"})), "/states/0/input", ("'task'", "never integer")),
    "all variables from one place": (MAY, workflow(makes("a", "says"), agent("b", input={"agent": "all", "variables": "{{ steps.a }}"})), "/states/1/input/variables", ("the variables", '"status"')),
    "neither form": (CANNOT, workflow(gives("a", "either", o=1)), "/states/0/input/variables", ("the variables",)),
    # Ways in
    "input": (CANNOT, workflow(gives("a", "n", n="{{ s }}"), inputSchema=of(s=TEXT)), "/states/0/input/variables/n", ("from the input",)),
    "input by its name": (CANNOT, workflow(gives("a", "n", n="{{ input.s }}"), inputSchema=of(s=TEXT)), "/states/0/input/variables/n", ("from the input",)),
    "inject": (CANNOT, workflow(inject("a", {"limits": {"n": "many"}}, next="b"), gives("b", "n", n="{{ limits.n }}")), B_N, ('"many" is not', "the state 'a'")),
    "inject with a path": (CANNOT, workflow(inject("a", {"n": "many"}, resultPath="limits", next="b"), gives("b", "n", n="{{ limits.n }}")), B_N, ('"many" is not',)),
    "one arm of a switch": (
        MAY,
        workflow(FORK, makes("a", "counts", resultPath="r"), makes("c", "counts@other", resultPath="r"), gives("b", "n", n="{{ r.n }}")),
        "/states/3/input/variables/n", ("string", "the state 'c'"),
    ),
    "both arms of a switch": (
        CANNOT,
        workflow(FORK, inject("a", {"n": "one"}, resultPath="r", next="b"), inject("c", {"n": "two"}, resultPath="r", next="b"), gives("b", "n", n="{{ r.n }}")),
        "/states/3/input/variables/n", ("is not of type", "the state"),
    ),
    "a loop": (
        MAY,
        workflow(inject("i", 1, resultPath="v", next="b"), gives("b", "n", n="{{ v }}", way_on={"next": "w"}), inject("w", "text", resultPath="v", next="s"),
                 switch({"if": "v", "next": "b"}, defaultNext="e"), agent("e")),
        B_N, ("the state 'w'",),
    ),
    "written again": (CANNOT, workflow(inject("i", 1, resultPath="v", next="j"), inject("j", "text", resultPath="v", next="b"), gives("b", "n", n="{{ v }}")),
                      "/states/2/input/variables/n", ("the state 'j'",)),
    "parallel": (
        CANNOT,
        workflow(parallel("p", way_on={"next": "b"}, one=[makes("a", "says", None)], two=[agent("z")]), gives("b", "n", n="{{ steps.p.one.result.text }}")),
        B_N, ("never integer", "the state 'p'"),
    ),
    "a branch reads what is around": (
        CANNOT, workflow(makes("a", "says", "p"), parallel("p", one=[gives("b", "n", n="{{ steps.a.text }}")])),
        "/states/1/branches/0/states/0/input/variables/n", ("never integer",),
    ),
    "foreach gives a list": (
        CANNOT,
        workflow(foreach("f", "list", makes("a", "counts", None), next="b"), gives("b", "n", n="{{ steps.f }}")),
        B_N, ("array is never integer",),
    ),
    "what an iteration wrote": (
        CANNOT,
        workflow(foreach("f", "list", makes("a", "says", None), next="b"), gives("b", "n", n="{{ steps.f.0.result.text }}")),
        B_N, ("string is never integer",),
    ),
    "item": (CANNOT, workflow(makes("a", "names", "f"), foreach("f", "steps.a", gives("b", "n", n="{{ item }}"))),
             "/states/1/iterator/states/0/input/variables/n", ("string is never integer",)),
    "member of an item": (CANNOT, workflow(makes("a", "pods", "f"), foreach("f", "steps.a.pods", gives("b", "n", n="{{ pod.name }}"), itemName="pod")),
                          "/states/1/iterator/states/0/input/variables/n", ("string is never integer",)),
    "index": (CANNOT, workflow(foreach("f", "list", gives("b", "level", level="{{ index }}"))), "/states/0/iterator/states/0/input/variables/level", ("never",)),
    "approval": (
        CANNOT, workflow({**approval(), "end": False, "next": "b"}, gives("b", "decision", yes="{{ steps.a.comment }}", who="x")),
        "/states/1/input/variables/yes", ("never boolean",),
    ),
    "who decided may be nobody": (
        MAY, workflow({**approval(), "end": False, "next": "b"}, gives("b", "decision", yes=True, who="{{ steps.a.decidedBy }}")),
        "/states/1/input/variables/who", ("null",),
    ),
    "timer": (CANNOT, workflow({**action("timer.wait", seconds=1), "end": False, "next": "b"}, gives("b", "n", n="{{ steps.a.firedAt }}")), B_N, ("never integer",)),
    "error": (CANNOT, workflow(agent(onError="b"), gives("b", "n", n="{{ error.message }}")), B_N, ("never integer",)),
    "kind of error": (CANNOT, workflow(agent(onError="b"), gives("b", "level", level="{{ error.type }}")), "/states/1/input/variables/level", ("the state that failed",)),
    ".result of what has none": (CANNOT, after("closed", "n", n="{{ steps.a.result.status }}"), B_N, ("low",)),
    "an item of a list": (CANNOT, after("names", "n", n="{{ steps.a.0 }}"), B_N, ("string is never integer",)),
    "a reference": (CANNOT, after("refers", "n", n="{{ steps.a.pod.name }}"), B_N, ("string is never integer",)),
    "an agent elsewhere": (CANNOT, after("counts@other", "n", n="{{ steps.a.n }}"), B_N, ("string is never integer",)),
    "part of a place written by a state": (
        CANNOT, workflow(makes("a", "says", resultPath="all.one"), gives("b", "n", n="{{ all }}"), inputSchema=INPUT), B_N, ("object is never integer",),
    ),
    # Members
    "closed and read": (MEMBER, workflow(makes("a", "closed"), agent("b", input={"agent": "x", "task": "{{ steps.a.statu }}"})), "/states/1/input/task", ("'steps.a' never has a member 'statu'", "did you mean 'status'?")),
    "closed and read in a condition": (MEMBER, workflow(makes("a", "closed", "s"), switch({"if": "steps.a.nope == 'x'", "next": "e"}, defaultNext="e"), agent("e")), "/states/1/conditions/0/if", ("'nope'", "it has status")),
    "a member of a text": (MEMBER, workflow(makes("a", "says"), agent("b", input={"agent": "x", "task": "{{ steps.a.text.size }}"})), "/states/1/input/task", ("'steps.a.text' never has a member 'size'", "no members")),
    "a decision": (MEMBER, workflow({**approval(), "end": False, "next": "b"}, agent("b", input={"agent": "x", "task": "{{ steps.a.aproved }}"})), "/states/1/input/task", ("did you mean 'approved'?",)),
    "mistyped, though open": (TYPO, workflow(makes("a", "loose"), agent("b", input={"agent": "x", "task": "{{ steps.a.statu }}"})), "/states/1/input/task", ("declares no member 'statu'", "did you mean 'status'?")),
}  # fmt: skip

KINDS = {CANNOT: "errors", MAY: "warnings", MEMBER: "warnings", OPTIONAL: "notes", TYPO: "notes"}


def said(loaded: Loaded) -> dict[str, list[tuple[str, str]]]:
    return {
        kind: [(one.code, one.path) for one in getattr(loaded, kind)]
        for kind in ("errors", "warnings", "notes")
        if getattr(loaded, kind)
    }


@pytest.mark.parametrize("name", CASES)
def test_one_thing_is_said(name: str) -> None:
    code, source, path, words = CASES[name]
    loaded = load(source, agents=AGENTS, agents_required=True)
    assert said(loaded) == {KINDS[code]: [(code, path)]}
    problem = getattr(loaded, KINDS[code])[0]
    assert problem.hint
    for word in words:
        assert word in f"{problem.message} {problem.hint}"


QUIET: dict[str, Any] = {
    "it fits": after("counts", "n", n="{{ steps.a.n }}"),
    "it fits, by .result": after("counts", "n", n="{{ steps.a.result.n }}"),
    "a whole object": workflow(makes("a", "closed"), agent("b", input={"agent": "all", "variables": "{{ steps.a }}"})),
    "no schema is made": after("x", "n", n="{{ steps.a.n }}"),
    "no schema is taken": after("says", "x", n="{{ steps.a.text }}"),
    "undeclared": after("says", "n", n="{{ steps.a.other }}"),
    "a text with parts": after("says", "level", level="{{ steps.a.text }}er"),
    "a schema in circles": after("circles", "n", n="{{ steps.a.n }}"),
    "what cannot be compared": workflow(gives("a", "not", n="{{ n }}")),
    "signal": workflow({**action("signal.wait", signal="go"), "end": False, "next": "b"}, gives("b", "n", n="{{ steps.a.n }}")),
    "input without a schema": workflow(gives("a", "n", n="{{ n }}")),
    "input": workflow(gives("a", "n", n="{{ n }}"), inputSchema=INPUT),
    "item of the input": workflow(
        foreach("f", "list", gives("a", "n", n="{{ item.id }}")), inputSchema=of(list={"type": "array", "items": of(id=WHOLE)})
    ),
    "index": workflow(foreach("f", "list", gives("a", "n", n="{{ index }}"))),
    "the agent's own default": workflow(gives("a", "has", n=1)),
    "one of two forms": workflow(gives("a", "either", m="x")),
    "one way is unknown": workflow(
        FORK, makes("a", "x", resultPath="r"), makes("c", "counts", resultPath="r"), gives("b", "n", n="{{ r.n }}")
    ),
    "a member of two scopes": workflow(
        makes("a", "says", "p", resultPath="r"),
        parallel("p", one=[makes("c", "counts", "b", resultPath="r"), gives("b", "n", n="{{ r.n }}")]),
    ),
    "merged into the root": workflow(makes("a", "says", resultPath="ctx"), gives("b", "n", n="{{ n }}")),
    "merged over an inject": workflow(
        inject("i", {"n": 1}, next="a"), makes("a", "x", resultPath="ctx"), gives("b", "n", n="{{ n }}")
    ),
    "what parallel joins": workflow(
        parallel("p", way_on={"next": "b"}, one=[makes("a", "counts", None)]), gives("b", "n", n="{{ steps.p.one.result.n }}")
    ),
    "a loop of one kind": workflow(
        inject("i", {"n": 1}, resultPath="v", next="b"), gives("b", "n", n="{{ v.n }}", way_on={"next": "c"}),
        makes("c", "counts", "s", resultPath="v"), switch({"if": "v.n", "next": "b"}, defaultNext="e"), agent("e"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUIET)
def test_nothing_is_said(name: str) -> None:
    assert said(load(QUIET[name], agents=AGENTS, agents_required=True)) == {}


def test_without_agents_nothing_is_compared() -> None:
    assert said(load(after("says", "n", n="{{ steps.a.text }}"))) == {}


def test_the_ways_that_miss_a_place_are_named() -> None:
    source = workflow(
        switch({"if": "x", "next": "a"}, {"if": "y", "next": "skip"}, defaultNext="p"),
        agent("a", next="p"), agent("skip", next="p"),
        parallel("p", one=[foreach("f", "list", agent("b", input={"agent": "x", "task": "{{ steps.a }}"}))]),
    )  # fmt: skip
    (warning,) = load(source).warnings
    assert warning.code == "unwritten_path"
    assert "from 's', 'skip' before 'steps.a'" in warning.message


def test_a_reject_leaves_no_error_behind() -> None:
    source = workflow(
        {**approval(onReject="no"), "end": False, "next": "no"},
        agent("no", input={"agent": "x", "task": "{{ error.type }}"}),
        inputSchema=INPUT,
    )
    assert [warning.code for warning in load(source).warnings] == ["unwritten_path"]


def test_thousands_of_states_in_a_hostile_order_end() -> None:
    count = 1200
    states: list[dict[str, Any]] = []
    for number in range(count):
        name = f"s{number}"
        back = f"s{(number * 7919 + 13) % count}"
        states.append(switch({"if": "x", "next": back}, defaultNext=f"i{number}") | {"name": name})
        states.append(inject(f"i{number}", number, resultPath=f"v{number}", next=f"s{(number + 1) % count}"))
    assert (
        load({"id": "w", "start": "s0", "states": states}, agents=AGENTS, agents_required=True).definition is not None
    )
