"""Builds JSON data from the events of a YAML parser, refusing what JSON cannot say, with line and column."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from station.contracts.problems import Problem
from station.core.codes import Code
from station.core.json_text import MAX_NESTING
from station.core.jsonvalue import Array, Object, is_number, is_storable, pointer_token

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?(?:\.inf|infinity)|\.?nan", re.IGNORECASE)
_CONSTANTS: dict[str, Any] = {"": None, "null": None, "true": True, "false": False}
_MAX_PROBLEMS = 100
_SHOWN_CHARACTERS = 40
_MAX_INTEGER_DIGITS = 20


def read_yaml(text: str) -> tuple[Any, tuple[Problem, ...]]:
    """Give the data and what is wrong with the text."""
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
            if builder.hopeless:
                break
    except yaml.YAMLError as error:
        builder.problems.append(_syntax_problem(error))
    if not builder.documents and not builder.problems:
        builder.problems.append(Problem(Code.DOCUMENT_SYNTAX.value, "", "the document is empty"))
    return builder.root, tuple(builder.problems)


class _Frame:
    """A container being filled."""

    def __init__(self, container: Object | Array) -> None:
        self.container = container
        self.name: str | None = None
        """In an object, the name whose value comes next."""
        self.filling = ""
        """Where the container that is open inside of this one was put."""

    @property
    def wants_name(self) -> bool:
        return isinstance(self.container, dict) and self.name is None

    @property
    def token(self) -> str:
        return str(len(self.container)) if isinstance(self.container, list) else pointer_token(self.name or "")


class _Builder:
    """Takes events one by one; nothing here is recursive."""

    def __init__(self) -> None:
        self.root: Any = None
        self.problems: list[Problem] = []
        self.documents = 0
        self.hopeless = False
        self._frames: list[_Frame] = []

    def take(self, event: Event) -> None:
        if isinstance(event, NodeEvent):
            self._refuse_extras(event)
        match event:
            case ScalarEvent():
                self._scalar(event)
            case AliasEvent():
                self._note(Code.YAML_ANCHOR, event, f"the alias *{event.anchor}", "write the value out here")
                self._put(None, event)
            case MappingStartEvent():
                self._open({}, event)
            case SequenceStartEvent():
                self._open([], event)
            case MappingEndEvent() | SequenceEndEvent():
                self._frames.pop()
            case DocumentStartEvent():
                self._document(event)
            case _:
                pass

    def _document(self, event: Event) -> None:
        self.documents += 1
        if self.documents > 1:
            self._note(Code.DOCUMENT_SYNTAX, event, "a second document begins", "keep one document in a file")
            self.hopeless = True

    def _open(self, container: Object | Array, event: Event) -> None:
        if self._frames and self._frames[-1].wants_name:
            self._note(Code.KEY_NOT_TEXT, event, "a name must be text, not a list or an object")
            self.hopeless = True
            return
        if len(self._frames) == MAX_NESTING:
            self._note(Code.DOCUMENT_TOO_DEEP, event, f"nested more than {MAX_NESTING} deep")
            self.hopeless = True
            return
        self._put(container, event)
        self._frames.append(_Frame(container))

    def _scalar(self, event: ScalarEvent) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.wants_name:
            self._name(frame, event)
        else:
            is_label = frame is not None and len(self._frames) == 1 and frame.name == "version"
            value = self._value(event)
            # The author's label: 1.10 must not become the number 1.1.
            self._put(event.value if is_label and is_number(value) else value, event)

    def _name(self, frame: _Frame, event: ScalarEvent) -> None:
        value = self._value(event)
        name = event.value
        if not isinstance(value, str):
            self._note(Code.KEY_NOT_TEXT, event, f"the name {name} is not text", f'put it in quotes: "{name}"')
        elif name in frame.container:
            frame.name = name
            self._note(Code.DUPLICATE_KEY, event, f"the name {name!r} is there twice", "keep one of them")
        frame.name = name

    def _value(self, event: ScalarEvent) -> Any:
        text = event.value
        if not event.implicit[0] or event.style:
            return text  # quoted, or a block of text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            return self._integer(text, event)
        if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            self._bad_number(text, event)
        return text

    def _integer(self, text: str, event: ScalarEvent) -> int | str:
        if len(text) <= _MAX_INTEGER_DIGITS and is_storable(int(text)):
            return int(text)
        self._bad_number(text, event)
        return text

    def _bad_number(self, text: str, event: ScalarEvent) -> None:
        shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
        self._note(Code.BAD_NUMBER, event, f"JSON cannot hold the number {shown}", "put it in quotes to mean the text")

    def _put(self, value: Any, event: Event) -> None:
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        frame.filling = frame.token
        if isinstance(frame.container, list):
            frame.container.append(value)
        elif frame.name is None:
            self._note(Code.KEY_NOT_TEXT, event, "a name must be text")
            frame.name = ""
        else:
            frame.container[frame.name] = value
            frame.name = None

    def _refuse_extras(self, event: NodeEvent) -> None:
        if event.anchor is not None and not isinstance(event, AliasEvent):
            self._note(Code.YAML_ANCHOR, event, f"the anchor &{event.anchor}", "write the value out where it is needed")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._note(Code.YAML_TAG, event, f"the tag {tag}", "leave it out; quotes make a value text")

    def _note(self, code: Code, event: Event, message: str, hint: str | None = None) -> None:
        mark: Any = event.start_mark
        tokens = [frame.filling for frame in self._frames[:-1]]
        tokens += [frame.token for frame in self._frames[-1:] if not frame.wants_name]
        pointer = "".join(f"/{token}" for token in tokens)
        message = f"line {mark.line + 1}, column {mark.column + 1}: {message}"
        self.problems.append(Problem(code.value, pointer, message, hint))
        self.hopeless = self.hopeless or len(self.problems) >= _MAX_PROBLEMS


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    code = Code.DOCUMENT_TOO_DEEP if "nesting depth" in str(what) else Code.DOCUMENT_SYNTAX
    return Problem(code.value, "", f"{where}{what}" + (f" ({context})" if context else ""))
