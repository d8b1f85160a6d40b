"""The golden messages: bytes that every later version must read as this one does.

``python -m tests.support.goldens`` lists the ones that are missing; with ``--add`` it writes those. One that is there
is never written again: what it says was promised to other systems.
"""

import sys
from pathlib import Path

import msgspec

from station.contracts.events import PublishedEvent
from tests.support.examples import EVENTS, MESSAGES, NAMES, example, type_of

FOLDER = Path(__file__).parents[1] / "data/golden/v1"
SUFFIXES = (".json", ".msgpack")


def struct_of(name: str) -> type[msgspec.Struct]:
    """The type of the whole message that a golden of this name holds."""
    return PublishedEvent if name in EVENTS else type(MESSAGES[name])


def path_of(name: str, suffix: str, folder: Path = FOLDER) -> Path:
    """Where the golden of this name is kept."""
    return folder / f"{name}{suffix}"


def missing(folder: Path = FOLDER) -> list[Path]:
    """The goldens that an example asks for and that are not there."""
    paths = (path_of(name, suffix, folder) for name in NAMES for suffix in SUFFIXES)
    return [path for path in paths if not path.exists()]


def add(folder: Path = FOLDER) -> list[Path]:
    """Write the missing ones; those that are there stay as they are."""
    written = missing(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in written:
        path.write_bytes(_encoded(path.name.removesuffix(path.suffix), path.suffix))
    return written


def _encoded(name: str, suffix: str) -> bytes:
    message = example(name)
    if suffix == ".msgpack":
        return msgspec.msgpack.encode(message)
    return msgspec.json.format(msgspec.json.encode(message), indent=2) + b"\n"


def main(arguments: list[str]) -> int:
    """0: nothing is missing, or it has been written; 1: something is missing."""
    if arguments == ["--add"]:
        for path in add():
            print(f"wrote {path.name}")
        return 0
    for path in (absent := missing()):
        kind = type_of(path.name)
        print(f"error: {path.name}: no golden of {kind}; write it with `python -m tests.support.goldens --add`")
    return int(bool(absent))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
