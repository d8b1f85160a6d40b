"""A condition's source, checked and made ready once: what it reads, its Starlark text, whether it is cheap."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from station.core.expression_errors import ExpressionError, nearest, quoted
from station.core.expression_grammar import (
    ARITHMETIC,
    FUNCTIONS,
    MAX_NESTING,
    MAX_SOURCE_CHARACTERS,
    SPECIAL_NAMES,
)
from station.core.expression_names import Read
from station.core.expression_translation import Refused, Translation

# How many arguments a function may have in an expression that runs in the process.
_CHEAP_FUNCTIONS: Final = {"len": (1, 1), "hasattr": (2, 2), "getattr": (2, 3)}

_TOO_DEEP: Final = f"the condition is nested deeper than {MAX_NESTING} levels"


class Expression(msgspec.Struct, frozen=True, eq=False):
    """A condition that parsed. Equal sources give the same object, as long as the cache holds it."""

    source: str
    """As the author wrote it."""
    starlark: str
    """For the evaluator pool: free names prefixed with `v_`, members read through the prelude."""
    names: frozenset[str]
    """Free names: what `bindings` hands over."""
    reads: frozenset[Read]
    """The places read, as far as they are fixed: ("ctx", "config", "limit"); a name alone is read whole."""
    called: frozenset[str]
    """Free names that are called though no function is called so."""
    cheap: bool
    """Whether `evaluate_cheap` takes it."""
    tree: ast.expr
    """The parsed form that `evaluate_cheap` walks."""


@lru_cache(maxsize=4096)
def compile_expression(source: str) -> Expression:
    """Check a condition and make it ready. Raises ExpressionError with the position of the first problem."""
    if len(source) > MAX_SOURCE_CHARACTERS:
        problem = f"a condition has at most {MAX_SOURCE_CHARACTERS} characters, this one has {len(source)}"
        raise ExpressionError(problem, MAX_SOURCE_CHARACTERS)
    start = len(source) - len(source.lstrip())
    tree = _parsed(source.strip(), start)
    translation = Translation()
    try:
        _check_form(tree)
        starlark = translation.text(tree)
    except Refused as refused:
        raise ExpressionError(refused.problem, start + _offset(source.strip(), refused.node)) from None
    return Expression(
        source=source,
        starlark=starlark,
        names=frozenset(read[0] for read in translation.reads),
        reads=frozenset(translation.reads),
        called=frozenset(translation.called),
        cheap=_is_cheap(tree),
        tree=tree,
    )


def possible_names_problem(expression: Expression, known_roots: Iterable[str] | None) -> str | None:
    """Say which name cannot exist, or None.

    `known_roots` are the names that can be in sight beside `ctx`, `steps`, `input`, `value` and `result`; None when
    they cannot be known beforehand (a `dataPath` whose members only the run will tell).
    """
    for name in sorted(expression.called):
        return f"there is no function {quoted(name)}{nearest(name, sorted(FUNCTIONS))}; data cannot be called"
    if known_roots is None:
        return None
    known = {*known_roots, *SPECIAL_NAMES}
    for name in sorted(expression.names - known):
        return f"nothing is called {quoted(name)} here{nearest(name, sorted(known))}"
    return None


def _parsed(text: str, start: int) -> ast.expr:
    if not text:
        raise ExpressionError("the condition is empty", 0)
    if "\0" in text:
        raise ExpressionError("the condition holds a NUL character", start + text.index("\0"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that Python is about to refuse is not our reader's business
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(_syntax_problem(text, error), start + _syntax_offset(text, error)) from None
    except (MemoryError, RecursionError):
        raise ExpressionError(_TOO_DEEP, start) from None
    except ValueError as error:  # a number of more digits than Python reads, half a character
        raise ExpressionError(str(error), start) from None


def _syntax_problem(text: str, error: SyntaxError) -> str:
    at = text[_syntax_offset(text, error) :]
    if at.startswith((":=", "=")) or "=" in error.msg:
        return "a condition reads and assigns nothing; compare with =="
    if "\n" in text:
        return f"{error.msg} (a condition that spans lines goes in parentheses)"
    return error.msg


def _syntax_offset(text: str, error: SyntaxError) -> int:
    if not error.offset:  # more was expected after the end
        return len(text)
    lines = text.split("\n")[: max((error.lineno or 1) - 1, 0)]
    return min(sum(len(line) + 1 for line in lines) + error.offset - 1, len(text))


def _offset(text: str, node: ast.AST) -> int:
    lines = text.split("\n")
    line = getattr(node, "lineno", 1) - 1
    column = len(lines[line].encode()[: getattr(node, "col_offset", 0)].decode())  # the parser counts bytes
    return sum(len(before) + 1 for before in lines[:line]) + column


def _check_form(tree: ast.expr) -> None:
    if isinstance(tree, ast.Tuple):
        raise Refused("a condition is one expression; join several with `and` or `or`", tree)
    level: list[ast.AST] = [tree]
    for _ in range(MAX_NESTING):
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if not level:
            return
    raise Refused(_TOO_DEEP, tree)


def _is_cheap(node: ast.AST) -> bool:  # noqa: PLR0911 - one line per kind of node
    match node:
        case ast.Constant() | ast.Name():
            return True
        case ast.Attribute(value=value):
            return _is_cheap(value)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            return _is_cheap(operand)
        case ast.Call():
            return _is_cheap_call(node)
        case ast.BinOp(op=operator) if type(operator) not in ARITHMETIC:
            return False
        case ast.Subscript() | ast.BoolOp() | ast.BinOp() | ast.Compare() | ast.IfExp() | ast.List() | ast.Tuple():
            return all(_is_cheap(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
        case _:
            return False


def _is_cheap_call(node: ast.Call) -> bool:
    if node.keywords or not all(map(_is_cheap, node.args)):
        return False
    match node.func:
        case ast.Name(id=name) if name in _CHEAP_FUNCTIONS:
            least, most = _CHEAP_FUNCTIONS[name]
            return least <= len(node.args) <= most
        case ast.Attribute(value=value, attr="get"):
            return len(node.args) in (1, 2) and _is_cheap(value)
        case _:
            return False
