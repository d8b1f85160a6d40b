"""What the contracts say of their fields and members: the text under each, read from the source.

Python keeps a class's docstring at run time, but not those of its fields.
"""

import ast
import importlib
import inspect
import pkgutil
from enum import Enum
from functools import cache
from itertools import pairwise
from types import ModuleType

import msgspec

import station.contracts


@cache
def types() -> dict[str, type]:
    """Every struct and enum of the contracts, by its name."""
    return {
        name: value
        for module in modules()
        for name, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__ and issubclass(value, msgspec.Struct | Enum)
    }


@cache
def modules() -> tuple[ModuleType, ...]:
    """Every module of the contracts."""
    names = (found.name for found in pkgutil.iter_modules(station.contracts.__path__))
    return tuple(importlib.import_module(f"station.contracts.{name}") for name in names)


@cache
def of_members(kind: type) -> dict[str, str]:
    """The text under each field or member of a class, its parents' included, as Markdown."""
    found: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if parent.__module__.startswith("station.contracts"):
            found |= _of_module(inspect.getmodule(parent)).get(parent.__name__, {})
    return found


def of_class(kind: type) -> str | None:
    """A class's own docstring as Markdown; None if it has none, or only its parent's."""
    text = kind.__dict__.get("__doc__")
    return markdown(inspect.cleandoc(text)) if text else None


def markdown(text: str) -> str:
    """The double backticks of a docstring as those of Markdown."""
    return text.replace("``", "`")


@cache
def _of_module(module: ModuleType | None) -> dict[str, dict[str, str]]:
    assert module is not None
    tree = ast.parse(inspect.getsource(module))
    return {node.name: _of_body(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_body(body: list[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement, after in pairwise(body):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case _:
                continue
        match after:
            case ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = markdown(inspect.cleandoc(text))
            case _:
                pass
    return found
