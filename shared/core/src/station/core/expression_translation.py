"""A condition's parsed form, written as Starlark.

Every name of the data gets the prefix `v_`, so data called `type`, `load` or `attr_` meets neither Starlark's words
nor the child's prelude; every member read goes through that prelude (`attr_`, `item_`). What is not handled is refused.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence

from station.core.expression_errors import nearest
from station.core.expression_grammar import (
    ARITHMETIC,
    BITWISE,
    CHANGING_METHODS,
    COMPARISONS,
    FUNCTIONS,
    LITERALS,
    METHODS,
    REFUSED,
    REPLACED_FUNCTIONS,
    UNARY,
)
from station.core.expression_names import Read, starlark_name, static_read


class Refused(Exception):
    """A node that Starlark, or a condition, does not take."""

    def __init__(self, problem: str, node: ast.AST) -> None:
        super().__init__(problem)
        self.problem = problem
        self.node = node


class Translation:
    """One pass over one expression: the text, the places it reads, the names it calls."""

    def __init__(self) -> None:
        self.reads: set[Read] = set()
        self.called: set[str] = set()
        self._local: list[set[str]] = []

    def text(self, node: ast.AST) -> str:  # noqa: PLR0911 - one line per kind of node
        """Write a node as Starlark. Raises Refused."""
        match node:
            case ast.Constant():
                return _constant(node)
            case ast.Name():
                return self._name(node)
            case ast.Attribute() | ast.Subscript():
                return self._member(node)
            case ast.BoolOp():
                word = " and " if isinstance(node.op, ast.And) else " or "
                return f"({word.join(map(self.text, node.values))})"
            case ast.UnaryOp():
                return f"({UNARY[type(node.op)]}{self.text(node.operand)})"
            case ast.BinOp():
                return self._operation(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.IfExp():
                return f"({self.text(node.body)} if {self.text(node.test)} else {self.text(node.orelse)})"
            case ast.Call():
                return self._call(node)
            case _:
                return self._display(node)

    def _display(self, node: ast.AST) -> str:
        match node:
            case ast.List():
                return f"[{self._joined(node.elts)}]"
            case ast.Tuple():
                return f"({self._joined(node.elts)}{',' if len(node.elts) == 1 else ''})"
            case ast.Dict():
                return self._object(node)
            case ast.ListComp():
                return f"[{self._comprehension(node.generators, [node.elt])}]"
            case ast.DictComp():
                return f"{{{self._comprehension(node.generators, [node.key, node.value])}}}"
            case ast.Lambda():
                return self._lambda(node)
            case _:
                raise _refusal(node)

    def _joined(self, nodes: Sequence[ast.AST]) -> str:
        return ", ".join(map(self.text, nodes))

    def _name(self, node: ast.Name) -> str:
        if node.id in LITERALS:
            return str(LITERALS[node.id])
        if not self._is_local(node.id):
            self.reads.add((node.id,))
        return starlark_name(node.id)

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._local)

    def _member(self, node: ast.Attribute | ast.Subscript) -> str:
        read = static_read(node)
        if read is None or self._is_local(read[0]):
            return self._step(node, self.text(node.value))
        self.reads.add(read)
        return self._chain(node)

    def _chain(self, node: ast.AST) -> str:
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            return self._step(node, self._chain(node.value))
        assert isinstance(node, ast.Name)
        return starlark_name(node.id)

    def _step(self, node: ast.Attribute | ast.Subscript, value: str) -> str:
        if isinstance(node, ast.Attribute):
            return f"attr_({value}, {_quoted(node.attr)})"
        if isinstance(node.slice, ast.Slice):
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            return f"({value})[{':'.join('' if part is None else self.text(part) for part in parts)}]"
        return f"item_({value}, {self.text(node.slice)})"

    def _operation(self, node: ast.BinOp) -> str:
        word = ARITHMETIC.get(type(node.op)) or BITWISE.get(type(node.op))
        if word is None:
            raise Refused(REFUSED[type(node.op)], node)
        return f"({self.text(node.left)} {word} {self.text(node.right)})"

    def _comparison(self, node: ast.Compare) -> str:
        if len(node.ops) > 1:
            raise Refused("Starlark has no chained comparisons; write `a < b and b < c`", node)
        word = COMPARISONS.get(type(node.ops[0]))
        if word is None:
            raise Refused(REFUSED[type(node.ops[0])], node)
        return f"({self.text(node.left)} {word} {self.text(node.comparators[0])})"

    def _call(self, node: ast.Call) -> str:
        function = self._function(node.func)
        arguments = [self.text(argument) for argument in node.args]
        arguments += [self._keyword(keyword) for keyword in node.keywords]
        return f"{function}({', '.join(arguments)})"

    def _function(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name) and not self._is_local(node.id):
            if node.id in FUNCTIONS:
                return REPLACED_FUNCTIONS.get(node.id, node.id)
            self.called.add(node.id)
        if isinstance(node, ast.Attribute):
            return f"({self.text(node.value)}).{_method(node)}"
        return f"({self.text(node)})"

    def _keyword(self, keyword: ast.keyword) -> str:
        if keyword.arg is None or keyword.arg == "load" or not keyword.arg.isascii():
            raise Refused("this argument cannot be written in Starlark", keyword)
        value = keyword.value
        if keyword.arg == "key" and isinstance(value, ast.Name) and self._is_function(value.id):
            return f"key={value.id}"
        return f"{keyword.arg}={self.text(value)}"

    def _is_function(self, name: str) -> bool:
        return name in FUNCTIONS and name not in REPLACED_FUNCTIONS and not self._is_local(name)

    def _object(self, node: ast.Dict) -> str:
        pairs: list[str] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise Refused("`**` in front of an object is not allowed in a condition; join objects with |", value)
            pairs.append(f"{self.text(key)}: {self.text(value)}")
        return f"{{{', '.join(pairs)}}}"

    def _comprehension(self, generators: Sequence[ast.comprehension], results: Sequence[ast.expr]) -> str:
        clauses: list[str] = []
        names: set[str] = set()
        for position, generator in enumerate(generators):
            source = self.text(generator.iter)  # the first one is read outside the comprehension's own names
            if position == 0:
                self._local.append(names)
            clauses.append(self._clause(generator, source, names))
        text = ": ".join(map(self.text, results))
        self._local.pop()
        return " ".join([text, *clauses])

    def _clause(self, generator: ast.comprehension, source: str, names: set[str]) -> str:
        if generator.is_async:
            raise Refused("`async` is not part of Starlark", generator.target)
        targets = _targets(generator.target)
        names.update(targets)
        written = ", ".join(map(starlark_name, targets))
        return " ".join([f"for {written} in {source}", *(f"if {self.text(test)}" for test in generator.ifs)])

    def _lambda(self, node: ast.Lambda) -> str:
        given = node.args
        if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults:
            raise Refused("a lambda takes plain parameters only", node)
        names = [argument.arg for argument in given.args]
        self._local.append(set(names))
        body = self.text(node.body)
        self._local.pop()
        return f"(lambda {', '.join(map(starlark_name, names))}: {body})"


def _method(node: ast.Attribute) -> str:
    if node.attr in METHODS:
        return node.attr
    if node.attr in CHANGING_METHODS:
        raise Refused(f"`.{node.attr}()` changes its object; a condition only reads", node)
    near = nearest(node.attr, sorted(METHODS))
    raise Refused(f"`.{node.attr}()` is not a method of text, lists or objects{near}", node)


def _targets(node: ast.expr) -> list[str]:
    every = node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]
    names: list[str] = []
    for target in every:
        if not isinstance(target, ast.Name) or target.id in LITERALS:
            raise Refused("after `for` come plain names", target)
        names.append(target.id)
    return names


def _constant(node: ast.Constant) -> str:
    value = node.value
    if isinstance(value, str):
        return _text_constant(value, node)
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("this number is too large", node)
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    raise Refused("Starlark has no such constant; use text, numbers, True, False or None", node)


def _text_constant(value: str, node: ast.Constant) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("this text holds half a character (a lone surrogate)", node) from None
    return _quoted(value)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refusal(node: ast.AST) -> Refused:
    return Refused(REFUSED.get(type(node), "this is not part of a condition"), node)
