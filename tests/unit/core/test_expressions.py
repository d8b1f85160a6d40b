"""Compiling conditions: what is taken, what is refused and where, what is read."""

import pytest
from starlark import parse

from station.core.expressions import ExpressionError, compile_expression, possible_names_problem


@pytest.mark.parametrize(
    ("source", "names", "cheap"),
    [
        ("result.error_rate > 0.05", {"result"}, True),
        ("result.status == 'degraded'", {"result"}, True),
        ("error_rate > ctx.config.thresholds.errorRate", {"error_rate", "ctx"}, True),
        ("ok == true and not failed or reason != null", {"ok", "failed", "reason"}, True),
        ("hasattr(result, 'load') and getattr(result, 'load', 0) / 2 >= 1.5", {"result"}, True),
        ("result.get('k', []) == [] or value['a b'][-1] in ('x', 'y')", {"result", "value"}, True),
        ("'x' if len(items) else 'y'", {"items"}, True),
        ("any([e.rate > limit for e in errors])", {"errors", "limit"}, False),
        ("name.lower().startswith('a')", {"name"}, False),
        ("sorted(rows, key=len)[1:3] == [[], [1]]", {"rows"}, False),
        ("{k: v for k, v in result.items()} == {'a': 1}", {"result"}, False),
        ("(lambda x: x + y)(1) == 2", {"y"}, False),
        ("max(max, type) > load", {"max", "type", "load"}, False),
        ("x << 2 | ~y & 1 == 0", {"x", "y"}, False),
        ("größe > 1", {"größe"}, True),
        ("  (a and\n b)  ", {"a", "b"}, True),
    ],
)
def test_taken(source: str, names: set[str], *, cheap: bool) -> None:
    expression = compile_expression(source)
    assert (expression.names, expression.cheap) == (names, cheap)
    parse("condition", expression.starlark)  # and Starlark takes the translation


def test_compiled_once() -> None:
    assert compile_expression("a > 1") is compile_expression("a > 1")


@pytest.mark.parametrize(
    ("source", "position", "problem"),
    [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("a <", 3, "invalid syntax"),
        ("a = 1", 2, "compare with =="),
        ("a := 1", 2, "compare with =="),
        ("(a := 1)", 1, "`:=`"),
        ("a\nb", 2, "parentheses"),
        ("a; b", 1, "invalid syntax"),
        ("a, b", 0, "one expression"),
        ("  a < b < c", 2, "chained"),
        ("a ** 2", 0, "`**`"),
        ("x and a @ b", 6, "`@`"),
        ("a is None", 0, "write =="),
        ("a is not None", 0, "write !="),
        ("f'{a}'", 0, "format"),
        ("x in {1, 2}", 5, "list"),
        ("{x for x in y}", 0, "list comprehension"),
        ("any(x for x in y)", 3, "brackets"),
        ("[*a]", 1, "`*`"),
        ("{**a}", 3, "|"),
        ("len(*a)", 4, "`*`"),
        ("dict(**a)", 5, "cannot be written"),
        ("a == b'x'", 5, "constant"),
        ("a == 1j", 5, "constant"),
        ("a == ...", 5, "constant"),
        ("a == 1e999", 5, "too large"),
        ("(yield)", 1, "`yield`"),
        ("[x async for x in y]", 13, "async"),
        ("[x for x.y in z]", 7, "plain names"),
        ("(lambda *a: a)(1)", 1, "plain parameters"),
        ("a == '\\ud800'", 5, "surrogate"),
        ("rows.append(1)", 0, "only reads"),
        ("name.startswitch('a')", 0, 'did you mean "startswith"'),
        ("größe ** 2", 0, "`**`"),
        ("é == 1 and a ** 2", 11, "`**`"),
        ("(é\n and a ** 2)", 8, "`**`"),
        ("a\0b", 1, "NUL"),
        ("x" * 1025, 1024, "1024 characters"),
        ("-" * 1000 + "1", 0, "deeper than 200"),
        ("not " * 250 + "x", 0, "deeper than 200"),
        ("1" + "+1" * 500, 0, "deeper than 200"),
        ("a" + ".b" * 400, 0, "deeper than 200"),
    ],
)
def test_refused_with_the_place(source: str, position: int, problem: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    assert problem in str(caught.value)
    assert caught.value.position == position
    assert str(caught.value).startswith(f"at character {position + 1}: ")


def test_brackets_too_deep_for_the_parser() -> None:
    with pytest.raises(ExpressionError, match="nested"):
        compile_expression("(" * 300 + "1" + ")" * 300)


def test_deep_but_allowed() -> None:
    assert compile_expression("not " * 198 + "x").cheap


@pytest.mark.parametrize(
    ("source", "known", "problem"),
    [
        ("sum(result.rates) > 1", None, 'no function "sum"'),
        ("lenn(x) > 1", None, 'did you mean "len"'),
        ("len(x) > 1 and (lambda f: f(1))(len2)", None, None),
        ("error_rate > 1", None, None),
        ("eror_rate > 1", {"error_rate"}, 'did you mean "error_rate"'),
        ("error_rate > ctx.x and steps.a and input.b and value and result", {"error_rate"}, None),
        ("[x for x in error_rate]", {"error_rate"}, None),
    ],
)
def test_names_that_cannot_exist(source: str, known: set[str] | None, problem: str | None) -> None:
    found = possible_names_problem(compile_expression(source), known)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_reads_are_as_deep_as_they_are_fixed() -> None:
    expression = compile_expression('ctx.a.b["c d"] > ctx.e[0].f and len(g.h) and k.items() and [c.d for c in m.n]')
    assert expression.reads == {("ctx", "a", "b", "c d"), ("ctx", "e"), ("g", "h"), ("k",), ("m", "n")}
