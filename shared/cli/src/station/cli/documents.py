"""Workflow files: found in folders, read, checked without a server, and their problems' lines found."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from station.cli.errors import USAGE, CommandError

SUFFIXES = (".workflow.yaml", ".workflow.yml", ".workflow.json")
JSON, YAML = "application/json", "application/yaml"


class WorkflowFile(msgspec.Struct, frozen=True):
    """One file as it is."""

    path: str
    source: bytes

    @property
    def content_type(self) -> str:
        """By the name: JSON only for ``.json``."""
        return JSON if self.path.endswith(".json") else YAML

    @property
    def workflow_id(self) -> str | None:
        """The document's ``id``; None when it cannot be read or has none."""
        from station.core.documents import parse_document

        data = parse_document(self.source, self.content_type).data
        found = data.get("id") if isinstance(data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return found if isinstance(found, str) else None

    def line_of(self, pointer: str) -> int | None:
        """The line of a JSON pointer, of its nearest parent if it does not exist; None when the text is no YAML."""
        import yaml

        try:
            node = yaml.compose(self.source.decode(), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
            return None
        if node is None or not pointer:
            return None
        line = node.start_mark.line
        for token in pointer.removeprefix("/").split("/"):
            child = _child(node, token.replace("~1", "/").replace("~0", "~"))
            if child is None:
                break
            line, node = child
        return int(line) + 1


def workflow_files(names: Iterable[str]) -> list[WorkflowFile]:
    """The files, and of folders every ``*.workflow.{yaml,yml,json}`` at any depth; ``-`` is standard input."""
    found: list[WorkflowFile] = []
    for name in names:
        path = Path(name)
        if name == "-":
            import sys

            found.append(WorkflowFile("-", sys.stdin.buffer.read()))
        elif path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
            if not inside:
                todo = "their names end in " + ", ".join(SUFFIXES)
                raise CommandError(f"no workflow files in {name}", todo=todo, exit_code=USAGE)
            found.extend(_read(file) for file in inside)
        else:
            found.append(_read(path))
    return found


def _read(path: Path) -> WorkflowFile:
    try:
        return WorkflowFile(str(path), path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read ({error.strerror})", exit_code=USAGE) from error


def _child(node: object, token: str) -> "tuple[int, object] | None":
    """The line of a member and its value: of an object's name, or of a list's item."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if name.value == token:
                return name.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and token.isdecimal() and int(token) < len(node.value):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        item = node.value[int(token)]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return item.start_mark.line, item  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return None
