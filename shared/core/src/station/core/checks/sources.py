"""Where a value that a state reads may come from, and what is known of it: through the scopes and from the input."""

from __future__ import annotations

from typing import NamedTuple

from station.core.checks.flow import Flow, Places
from station.core.checks.provided import Standing, Write, Writes, gathered
from station.core.checks.writes import read_path
from station.core.definition import Foreach
from station.core.jsonvalue import is_object
from station.core.paths import Path
from station.core.shapes import UNKNOWN, Found, Known, Presence, Shape, either, follow, items_of, promised

_INPUT = "the input"
_INDEX = Known({"type": "integer", "minimum": 0})


class Here(NamedTuple):
    """One state, seen with all that is around it."""

    state: str
    flow: Flow
    writes: Writes
    known: int
    """What is written for certain, by the scopes around, too."""
    foreach: Foreach | None = None
    """The foreach whose iterator the state's scope is."""
    around: Here | None = None
    """The container that the state's scope is in."""


class Source(NamedTuple):
    """One way in which a value comes about."""

    writer: str
    """Who that is, in words."""
    found: Found


class Sources:
    """Answers what may be read at each state of a definition."""

    def __init__(self, places: Places, input_schema: object) -> None:
        self._places = places
        self._input = promised(input_schema)
        self._items: dict[int, Shape] = {}
        self._found: dict[tuple[int, str, Path], list[Source]] = {}

    def of(self, here: Here, path: Path) -> list[Source]:
        """Give the ways in which there is something at a path; none if there is none."""
        key = (id(here.writes), here.state, path)
        if key not in self._found:
            self._found[key] = self._of(here, path)
        return self._found[key]

    def _of(self, here: Here, path: Path) -> list[Source]:
        levels: list[list[Source]] = []
        level: Here | None = here
        while level is not None:
            if own := self._own(level, path):
                levels.append(own)
            item = self._item(level, path)
            if item is not None:
                levels.append([item])
                break
            level = level.around
        if len(levels) > 1:
            return [_anything(levels[0][0].writer)]  # objects of several scopes are read together
        return levels[0] if levels else []

    def shape(self, here: Here, path: Path) -> Shape:
        """Join all ways in."""
        return either(source.found.shape for source in self.of(here, path))

    def _own(self, here: Here, path: Path) -> list[Source]:
        above, below = here.writes.standing(here.state, path)
        given = self._given(here, path) if here.around is None else None
        found = [_followed(standing) for standing in above]
        if below:
            return self._together(here, path, below) if not found and given is None else [_anything(below[0].writer)]
        return found if given is None else [*found, given]

    def _together(self, here: Here, path: Path, below: list[Write]) -> list[Source]:
        shape = gathered(below, len(path), lambda place: self._places.holds(here.known, place))
        writers = dict.fromkeys(write.writer for write in below)
        return [Source(next(iter(writers)) if len(writers) == 1 else "", Found(shape, Presence.ALWAYS))]

    def _given(self, here: Here, path: Path) -> Source | None:
        """What the input gives, unless a state has put something in its place on every way."""
        if not path:
            return _anything(_INPUT)
        if path[0] == "input" and not _declares(self._input, "input"):
            written = any(place[:1] == ("input",) for place in self._places.writers)
            return _anything(_INPUT) if written else Source(_INPUT, follow(self._input, path[1:]))
        if path[0] == "steps" or self._places.covers(here.known, path):
            return None
        found = follow(self._input, path, inside=False)
        if found.presence >= Presence.UNDECLARED and len(found.rest) == len(path):
            return None
        return Source(_INPUT, found)

    def _item(self, here: Here, path: Path) -> Source | None:
        if here.foreach is None or here.around is None or not path:
            return None
        writer = f"the state {here.foreach.name!r}"
        if path[0] == here.foreach.item_name:
            return Source(writer, follow(self._item_shape(here.foreach, here.around), path[1:]))
        return Source(writer, follow(_INDEX, path[1:])) if path[0] == "index" else None

    def _item_shape(self, foreach: Foreach, around: Here) -> Shape:
        if id(foreach) not in self._items:
            path = read_path(foreach.items_path)
            self._items[id(foreach)] = UNKNOWN if path is None else items_of(self.shape(around, path))
        return self._items[id(foreach)]


def _followed(standing: Standing) -> Source:
    write, rest = standing
    return Source(write.writer, follow(write.shape, rest))


def _anything(writer: str) -> Source:
    return Source(writer, Found(UNKNOWN, Presence.ALWAYS))


def _declares(shape: Shape, name: str) -> bool:
    return isinstance(shape, Known) and is_object(shape.schema) and name in shape.schema.get("properties", {})


_MAX_WAYS = 5


def ways_without(places: Places, here: Here, path: Path) -> list[str]:
    """Name the states (a few) from which a run can come to a state with nothing written at a path."""
    names: dict[str, None] = {}
    before = here.around.known if here.around is not None else 0
    for name, mask in here.flow.ways_in(here.state):
        if places.holds(before | mask, path):
            continue
        if name is not None:
            names[repr(name)] = None
        elif here.around is not None:
            names.update(dict.fromkeys(ways_without(places, here.around, path)))
        else:
            names["the start"] = None
    return list(names)[:_MAX_WAYS]
