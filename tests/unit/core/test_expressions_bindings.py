"""What conditions are given: precedence of names, and no more than they read."""

from typing import Any

from station.core.expressions import IN_SIGHT, bindings, compile_expression


class Root:
    """A context root that remembers what it was asked for."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members
        self.asked: list[str] = []

    def __call__(self, name: str) -> Any:
        self.asked.append(name)
        return self.members if name == "ctx" else self.members[name]


def bound(sources: list[str], root: Root, **data: Any) -> dict[str, Any]:
    given = {"data_value": data["data"], "has_data": True} if data else {}
    return bindings(*map(compile_expression, sources), root_lookup=root, **given)


def test_strongest_place_wins() -> None:
    root = Root({"a": "root", "b": "root", "steps": "root's", "input": "root's", "value": "root", "result": "root"})
    data = {"a": "data", "steps": "data", "input": "data", "ctx": "data", "value": "data", "result": "inner"}
    names = ["a == b", "steps == input", "value == result"]
    assert bound(names, root, data=data) == {
        "a": "data",
        "b": "root",
        "steps": "root's",
        "input": "root's",
        "value": data,
        "result": "inner",
    }


def test_without_data_the_roots_own_value_and_result_are_meant() -> None:
    assert bound(["value == result"], Root({"value": 1, "result": 2})) == {"value": 1, "result": 2}


def test_result_is_the_whole_value_where_it_has_none() -> None:
    assert bound(["result > 1"], Root({}), data=7) == {"result": 7}
    assert bound(["result > 1"], Root({}), data={"x": 1}) == {"result": {"x": 1}}


def test_only_what_is_used_is_asked_for() -> None:
    root = Root({"config": {"limit": 1}, "big": "x" * 1000})
    assert bound(["ctx.config.limit > 0"], root) == {"ctx": {"config": {"limit": 1}}}
    assert root.asked == ["config"]


def test_whole_root_when_it_is_used_whole() -> None:
    root = Root({"a": 1, "b": 2})
    assert bound(["'a' in ctx and ctx.b > 1"], root) == {"ctx": {"a": 1, "b": 2}}


def test_unknown_names_bring_the_names_in_sight() -> None:
    root = Root({"config": {}, "not an identifier": 1, "steps": {}})
    found = bound(["eror_rate > 1 and config"], root, data={"error_rate": 1})
    assert found == {"config": {}, IN_SIGHT: ["error_rate", "config", "steps", "ctx", "input", "value", "result"]}


def test_only_the_members_read_are_handed_over() -> None:
    root = Root({"steps": {"a": {"n": 1, "rest": "x" * 1000}, "b": {"rows": [{"k": 1}], "more": 2}}})
    found = bound(["max(steps.a.n, 2) > 1", "steps.b.rows[0].k == 1"], root)
    assert found == {"steps": {"a": {"n": 1}, "b": {"rows": [{"k": 1}]}}}


def test_narrowing_follows_the_forgiving_result() -> None:
    root = Root({"steps": {"a": {"n": 1, "m": {"p": 1, "q": 2}, "rest": 0}, "b": {"result": {"n": 2, "rest": 0}}}})
    found = bound(["max(steps.a.result.n, steps.a.m.p, steps.a.result.m.q, steps.b.result.n) > 1"], root)
    assert found == {"steps": {"a": {"n": 1, "m": {"p": 1, "q": 2}}, "b": {"result": {"n": 2}}}}


def test_narrowing_keeps_the_names_beside_a_missing_member() -> None:
    root = Root({"a": {"error_rate": 1, "big": "x" * 1000}})
    assert bound(["max(a.eror_rate, 1) > 1"], root) == {"a": {"error_rate": None, "big": None}}
