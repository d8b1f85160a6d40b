"""Reads ``<environments>/<env>/mcp-servers/*.json`` and ``<env>/variables.yml``.

What is wrong with one server is told, and never harms the others. Values of variables leave this module inside the
servers' settings only: they are secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from station.agent_runner.mcp.tool import SEPARATOR
from station.agent_runner.redaction import is_secret, looks_secret
from station.contracts.problems import Problem
from station.core.findings import near_names

FOLDER = "mcp-servers"
VARIABLES = "variables.yml"
SHARED = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR"})
"""Variables of the runner that every program sees anyway: their values are no secrets."""
TYPES = ("stdio", "http", "streamable-http")
CHILD_FIELDS = ("command", "args", "env", "cwd", "disabled", "type")
REMOTE_FIELDS = ("url", "headers", "disabled", "type")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_CORRECT = "correct the file; it is read again at the next use"


class Child(Struct, frozen=True, kw_only=True):
    """A server that is a program: it is spoken to over its stdin and stdout."""

    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: Path
    """Absolute."""


class Remote(Struct, frozen=True, kw_only=True):
    """A server that is spoken to over streamable HTTP."""

    url: str
    headers: dict[str, str] = {}


class Server(Struct, frozen=True, kw_only=True):
    """One server that can be tried."""

    name: str
    environment: str
    file: str
    """Relative to the environments directory, for messages."""
    reach: Child | Remote


class Servers(Struct, frozen=True, kw_only=True):
    """What one environment has."""

    servers: dict[str, Server] = {}
    unusable: dict[str, str] = {}
    """Names of servers that are disabled or whose settings have a problem, and why."""
    problems: tuple[Problem, ...] = ()

    @property
    def names(self) -> list[str]:
        """All of them, usable or not."""
        return sorted({*self.servers, *self.unusable})


class _Wrong(Exception):
    """A mistake in one server's settings, as a sentence."""

    def __init__(self, message: str, code: str = "mcp_config_invalid", hint: str = _CORRECT) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def stamp(root: Path, environment: str) -> tuple[object, ...]:
    """Something that differs when a file has changed that `read_servers` reads."""
    folder = root / environment
    return tuple(_stamp(file) for file in (folder / VARIABLES, *_files(folder)))


def read_servers(
    root: Path,
    environment: str,
    variables: Mapping[str, str],
    learn: Callable[[str], None] = lambda _: None,
    kept: dict[Path, object] | None = None,
) -> Servers:
    """Read what one environment has. Never fails: what cannot be read becomes a problem.

    ``variables`` are the runner's own, for names that ``variables.yml`` does not have. ``learn`` is told each secret.
    ``kept`` holds what each file said when it could be read last, and is kept up to date: that counts while it cannot.
    """
    folder = root.absolute() / environment
    reading = _Reading(environment, folder, learn, {} if kept is None else kept)
    own = reading.variables()
    for name, (where, settings) in reading.entries().items():
        reading.take(name, where, settings, _Resolving(name, own, variables, learn))
    return Servers(servers=reading.servers, unusable=reading.unusable, problems=tuple(reading.problems))


class _Reading:
    """What was found so far in one environment."""

    def __init__(self, environment: str, folder: Path, learn: Callable[[str], None], kept: dict[Path, object]) -> None:
        self.servers: dict[str, Server] = {}
        self.unusable: dict[str, str] = {}
        self.problems: list[Problem] = []
        self._environment = environment
        self._folder = folder
        self._learn = learn
        self._kept = kept

    def variables(self) -> dict[str, str]:
        """The variables of the environment's own file."""
        file = self._folder / VARIABLES
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            self._kept.pop(file, None)
            return {}
        except OSError as error:
            self._problem("variables_invalid", file, f"the file cannot be read: {error.strerror}{self._still(file)}")
            return self._texts(file, self._kept.get(file))
        try:
            self._kept[file] = msgspec.yaml.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # What the parser says quotes the text around the mistake: it may be a secret.
            message = f"the file is no YAML{self._still(file)}"
            self._problem("variables_invalid", file, message, "write one `NAME: value` a line")
        return self._texts(file, self._kept.get(file))

    def _texts(self, file: Path, found: object) -> dict[str, str]:
        if found is None:
            return {}
        if not isinstance(found, dict):
            self._problem("variables_invalid", file, "the file must hold `NAME: value` lines")
            return {}
        texts: dict[str, str] = {}
        for name, value in cast("dict[object, object]", found).items():
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                texts[str(name)] = str(value)
                if is_secret(str(name), str(value)):
                    self._learn(str(value))
            else:
                message = f"the variable {str(name)!r} must be a text or a number"
                self._problem("variables_invalid", file, message, "put its value in quotes")
        return texts

    def entries(self) -> dict[str, tuple[Path, object]]:
        """Settings by name, with their files; a name that two files have is unusable."""
        found: dict[str, tuple[Path, object]] = {}
        twice: dict[str, list[Path]] = {}
        files = _files(self._folder)
        for gone in [file for file in self._kept if file.parent == self._folder / FOLDER and file not in files]:
            del self._kept[gone]
        for file in files:
            for name, settings in self._file(file).items():
                if name in found:
                    twice.setdefault(name, [found[name][0]]).append(file)
                else:
                    found[name] = (file, settings)
        for name, claimants in twice.items():
            del found[name]
            words = " and ".join(self._where(file) for file in claimants)
            message = f"{words} both define the MCP server {name!r}; neither is used"
            for file in claimants:
                self._problem("duplicate_mcp_server", file, message, "rename or remove one of them")
            self.unusable[name] = f"{words} both define it"
        return found

    def _file(self, file: Path) -> dict[str, object]:
        try:
            self._kept[file] = msgspec.json.decode(file.read_bytes())
        except OSError as error:
            self._problem("mcp_config_invalid", file, f"the file cannot be read: {error.strerror}{self._still(file)}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._problem("mcp_config_invalid", file, f"the file is no JSON: {error}{self._still(file)}")
        if file not in self._kept:
            return {}
        content = self._kept[file]
        shape = 'write `{"mcpServers": {"<name>": {"command": …} or {"url": …}}}`'
        if not isinstance(content, dict):
            self._problem("mcp_config_invalid", file, "the file must hold a JSON object", shape)
            return {}
        sections = cast("dict[str, object]", content)
        for name in sections:
            if name not in {"mcpServers", "$schema"}:
                self._problem("mcp_config_invalid", file, f"the field {name!r} is not known here", shape)
        section = sections.get("mcpServers")
        if not isinstance(section, dict):
            self._problem("mcp_config_invalid", file, "`mcpServers` must be an object of servers by name", shape)
            return {}
        return cast("dict[str, object]", section)

    def take(self, name: str, file: Path, settings: object, resolve: _Resolving) -> None:
        """Read the settings of one server."""
        try:
            server = self._server(name, file, settings, resolve)
        except _Wrong as wrong:
            self.unusable[name] = str(wrong)
            self._problem(wrong.code, file, f"MCP server {name!r}: {wrong}", wrong.hint)
        else:
            if server is not None:
                self.servers[name] = server

    def _server(self, name: str, file: Path, settings: object, resolve: _Resolving) -> Server | None:
        if _NAME.fullmatch(name) is None or SEPARATOR in name:
            raise _Wrong(f"a name may have 64 letters, digits, `-` and `_`, and no {SEPARATOR!r}")
        fields = _object(settings, "it")
        _check_fields(fields)
        disabled = fields.get("disabled", False)
        if not isinstance(disabled, bool):
            raise _Wrong("`disabled` must be true or false")
        if disabled:
            self.unusable[name] = f"it is disabled in {self._where(file)}"
            return None
        reach = self._child(fields, resolve) if "command" in fields else _remote(fields, resolve)
        return Server(name=name, environment=self._environment, file=self._where(file), reach=reach)

    def _child(self, fields: dict[str, object], resolve: _Resolving) -> Child:
        args = fields.get("args", [])
        if not isinstance(args, list):
            raise _Wrong("`args` must be a list of texts")
        members = cast("list[object]", args)
        command = resolve.text(fields["command"], "command")
        if not command:
            raise _Wrong("`command` must name a program")
        env = resolve.texts(fields.get("env", {}), "env")
        resolve.learn_named(env)
        return Child(
            command=command,
            args=tuple(resolve.text(member, f"args[{index}]") for index, member in enumerate(members)),
            env=env,
            cwd=self._folder / resolve.text(fields.get("cwd", ""), "cwd"),
        )

    def _still(self, file: Path) -> str:
        """A file that is half written, while runs go on, takes nothing away from them."""
        return "; what it said before counts until then" if file in self._kept else ""

    def _where(self, file: Path) -> str:
        return str(file.relative_to(self._folder.parent))

    def _problem(self, code: str, file: Path, message: str, hint: str = _CORRECT) -> None:
        self.problems.append(Problem(code, self._where(file), message, hint))


class _Resolving:
    """Puts the values of variables into one server's settings, once: what comes out is not looked at again."""

    def __init__(
        self, server: str, own: Mapping[str, str], runners: Mapping[str, str], learn: Callable[[str], None]
    ) -> None:
        self._server = server
        self._own = own
        self._runners = runners
        self._learn = learn

    def text(self, value: object, field: str) -> str:
        """A text with its variables resolved."""
        if not isinstance(value, str):
            raise _Wrong(f"`{field}` must be a text")
        resolved = _VARIABLE.sub(lambda found: self._value(found, field), value)
        if "\0" in resolved:
            raise _Wrong(f"`{field}` must hold no NUL characters")
        return resolved

    def texts(self, value: object, field: str) -> dict[str, str]:
        """An object of texts."""
        return {name: self.text(member, f"{field}.{name}") for name, member in _object(value, f"`{field}`").items()}

    def learn_named(self, values: Mapping[str, str]) -> None:
        """Whatever stands under the name of a secret is one, however it was written."""
        for name, value in values.items():
            if looks_secret(name):
                self._learn(value)

    def _value(self, found: re.Match[str], field: str) -> str:
        name, default = found[1], cast("str | None", found[2])
        value = self._own.get(name) or self._runners.get(name) or default
        if value is None:
            value = self._own.get(name, self._runners.get(name))
        if value is None:
            raise _Wrong(
                f"`{field}` needs the variable {name}, which is nowhere",
                "mcp_variable_missing",
                f"put {name} into {VARIABLES} of the environment or into the runner's environment, "
                f"or give a default: ${{{name}:-…}}",
            )
        if value != default and name not in SHARED and is_secret(name, value):
            self._learn(value)
        return value


def _remote(fields: dict[str, object], resolve: _Resolving) -> Remote:
    if "url" not in fields:
        raise _Wrong("it needs `command` (a program) or `url` (streamable HTTP)")
    url = resolve.text(fields["url"], "url")
    if not url.startswith(("http://", "https://")):
        raise _Wrong("`url` must begin with http:// or https://")
    headers = resolve.texts(fields.get("headers", {}), "headers")
    resolve.learn_named(headers)
    return Remote(url=url, headers=headers)


def _check_fields(fields: dict[str, Any]) -> None:
    if "command" in fields and "url" in fields:
        raise _Wrong("it has `command` and `url`; it can be reached in one way only")
    known = CHILD_FIELDS if "command" in fields else REMOTE_FIELDS if "url" in fields else (*CHILD_FIELDS, "url")
    for name in fields:
        if name not in known:
            near = near_names(name, known)
            meant = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise _Wrong(f"the field {name!r} is not known here; {meant}")
    if fields.get("type", "stdio") not in TYPES:
        raise _Wrong(f"`type` must be one of {', '.join(TYPES)}; `command` or `url` says it already")


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{what} must be an object")
    return cast("dict[str, Any]", value)


def _files(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("*.json"))


def _stamp(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file), status.st_ino, status.st_mtime_ns, status.st_size
