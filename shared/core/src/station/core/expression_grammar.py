"""The part of Starlark that a condition may use: names of functions and methods, operators.

Tables only. Whatever is not listed is refused when a definition is loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

MAX_SOURCE_CHARACTERS: Final = 1024
MAX_NESTING: Final = 200

LITERALS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None}

FUNCTIONS: Final = frozenset(
    [
        "abs",
        "all",
        "any",
        "bool",
        "chr",
        "dict",
        "enumerate",
        "fail",
        "float",
        "getattr",
        "hasattr",
        "hash",
        "int",
        "len",
        "list",
        "max",
        "min",
        "ord",
        "range",
        "repr",
        "reversed",
        "sorted",
        "str",
        "tuple",
        "type",
        "zip",
    ]
)

# Written in the child's prelude: they look at data keys, which Starlark's own do not.
REPLACED_FUNCTIONS: Final[Mapping[str, str]] = {"getattr": "getattr_", "hasattr": "hasattr_"}

METHODS: Final = frozenset(
    [
        "capitalize",
        "codepoints",
        "count",
        "elems",
        "endswith",
        "find",
        "format",
        "get",
        "index",
        "isalnum",
        "isalpha",
        "isdigit",
        "islower",
        "isspace",
        "istitle",
        "isupper",
        "items",
        "join",
        "keys",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "replace",
        "rfind",
        "rindex",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "title",
        "upper",
        "values",
    ]
)

CHANGING_METHODS: Final = frozenset(
    ["append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"]
)

SPECIAL_NAMES: Final = ("ctx", "steps", "input", "value", "result")

COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}

ARITHMETIC: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}

BITWISE: Final[Mapping[type[ast.operator], str]] = {
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}

UNARY: Final[Mapping[type[ast.unaryop], str]] = {ast.Not: "not ", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}

REFUSED: Final[Mapping[type[ast.AST], str]] = {
    ast.NamedExpr: "`:=` is not part of Starlark: a condition reads, it assigns nothing",
    ast.Await: "`await` is not part of Starlark",
    ast.Yield: "`yield` is not part of Starlark",
    ast.YieldFrom: "`yield` is not part of Starlark",
    ast.JoinedStr: 'text with f"…" is not part of a condition; join with + or use "…".format(…)',
    ast.Set: "set literals are not part of Starlark; write a list",
    ast.SetComp: "set comprehensions are not part of Starlark; write a list comprehension [… for … in …]",
    ast.GeneratorExp: "generators are not part of Starlark; put the comprehension in brackets: any([… for … in …])",
    ast.Starred: "`*` in front of a value is not allowed in a condition",
    ast.Pow: "`**` is not part of Starlark; multiply instead",
    ast.MatMult: "`@` is not part of Starlark",
    ast.Is: "`is` is not part of Starlark; write ==",
    ast.IsNot: "`is not` is not part of Starlark; write !=",
}
