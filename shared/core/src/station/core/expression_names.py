"""Names in conditions: the place a chain of names reads, and how our names are written in Starlark."""

from __future__ import annotations

import ast
from typing import TypeAlias

from station.core.expression_grammar import LITERALS

Read: TypeAlias = tuple[str, ...]


def starlark_name(name: str) -> str:
    """Write a name of ours as one that Starlark takes and that nothing of its own has; it knows ASCII names only."""
    return f"v_{name}" if name.isascii() else f"w_{name.encode().hex()}"


def own_name(starlark: str) -> str:
    """Undo `starlark_name`."""
    return starlark[2:] if starlark.startswith("v_") else bytes.fromhex(starlark[2:]).decode()


def static_read(node: ast.AST) -> Read | None:
    """Give the names of `a.b["c"]` as ("a", "b", "c"), or None where a part is worked out."""
    names: list[str] = []
    while not isinstance(node, ast.Name):
        match node:
            case ast.Attribute(value=value, attr=name):
                names.append(name)
            case ast.Subscript(value=value, slice=ast.Constant(value=str() as name)):
                names.append(name)
            case _:
                return None
        node = value
    if node.id in LITERALS:
        return None
    return (node.id, *reversed(names))
