"""Loads ``<environments>/<env>/agents/*.prompt``. A file that does not load is told, and is never the end."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import Misconfigured
from station.agent_runner.backends.registry import Backends
from station.agent_runner.prompts import PromptError, PromptFile, read_prompt
from station.contracts.agents import AgentSummary
from station.contracts.problems import Problem
from station.contracts.subjects import is_token
from station.core.schemas import Validator, check_schema, compile_schema
from station.runtime.clock import to_rfc3339
from station.runtime.logging import get_logger

log = get_logger("catalog")
MAX_FILE_BYTES = 256 * 1024
AGENTS = "agents"
SUFFIX = ".prompt"


class Catalog(Struct, frozen=True, kw_only=True):
    """What was found at one moment."""

    environments: tuple[str, ...] = ()
    agents: dict[tuple[str, str], Agent] = {}
    """By environment and name."""
    problems: tuple[Problem, ...] = ()

    def find(self, environment: str, name: str) -> Agent | None:
        """The agent of that name in that environment."""
        return self.agents.get((environment, name))

    def names(self, environment: str) -> list[str]:
        """The names of an environment's agents, for messages."""
        return sorted(name for found, name in self.agents if found == environment)


class _Source(Struct, frozen=True):
    """One file, and where it is."""

    file: Path
    folder: Path
    """Of its environment."""
    where: str
    """Relative to all environments."""


class _Loaded(Struct, frozen=True):
    agents: list[Agent]
    problems: list[Problem]


async def load_catalog(root: Path, backends: Backends) -> Catalog:
    """Read every environment below a folder. Never fails: what cannot be read becomes a problem."""
    loaded = _Loaded([], [])
    environments: list[str] = []
    for folder in _folders(root, loaded.problems):
        environments.append(folder.name)
        for file in sorted((folder / AGENTS).glob(f"*{SUFFIX}")):
            await _load_file(_Source(file, folder, str(file.relative_to(root))), backends, loaded)
    agents = _unique(loaded)
    return Catalog(
        environments=tuple(environments),
        agents={(agent.environment, agent.name): agent for agent in agents},
        problems=tuple(loaded.problems),
    )


def _folders(root: Path, problems: list[Problem]) -> list[Path]:
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        hint = "create it, with a folder per environment such as default/agents, or set STATION_ENVIRONMENTS_DIR"
        problems.append(Problem("environments_unreadable", "", f"{root} cannot be read: {error.strerror}", hint))
        return []
    for folder in folders:
        if not is_token(folder.name):
            message = f"{folder.name!r} cannot be the name of an environment"
            problems.append(Problem("environment_name", folder.name, message, "use letters, digits, `-` and `_` only"))
    return [folder for folder in folders if is_token(folder.name)]


async def _load_file(source: _Source, backends: Backends, loaded: _Loaded) -> None:
    where = source.where
    try:
        content = _content(source.file)
        prompt = await read_prompt(content.decode(), source.file)
        agent = _agent(source, prompt, content, backends)
    except (PromptError, Misconfigured) as error:
        hint = "correct the file; it is read again at once"
        loaded.problems.append(Problem("agent_invalid", where, str(error), hint))
    except UnicodeDecodeError:
        loaded.problems.append(Problem("agent_invalid", where, "the file is not UTF-8 text", "save it as UTF-8"))
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        loaded.problems.append(Problem("agent_unreadable", where, message, "make it readable for the runner's user"))
    except Exception as error:
        # Whatever a parser does with a file, the other agents go on.
        log.exception("agent_loader_crashed", file=where)
        hint = "simplify the file, and report this: it should have been said better"
        loaded.problems.append(Problem("agent_invalid", where, f"reading it failed: {error}", hint))
    else:
        loaded.agents.append(agent)
        if agent.backend is None:
            loaded.problems.append(_unknown_model(agent.summary, backends))


def _content(file: Path) -> bytes:
    with file.open("rb") as source:
        content = source.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise PromptError(f"the file is larger than {MAX_FILE_BYTES} bytes")
    return content


def _agent(source: _Source, prompt: PromptFile, content: bytes, backends: Backends) -> Agent:
    if "@" in prompt.name or prompt.name != prompt.name.strip():
        raise PromptError(f"the name {prompt.name!r} cannot be used: no `@` and no space around it")
    folder = source.folder.absolute()
    backend = backends.find(prompt.model)
    return Agent(
        summary=AgentSummary(
            name=prompt.name,
            environment=folder.name,
            model=prompt.model,
            description=prompt.description,
            input_schema=prompt.input_schema,
            output_schema=prompt.output_schema,
            tools=prompt.tools,
            source_file=source.where,
            digest=hashlib.sha256(content).hexdigest(),
            updated_at=to_rfc3339(int(source.file.stat().st_mtime * 1000)),
        ),
        folder=folder,
        prompt=prompt.prompt,
        defaults=prompt.defaults,
        input_validator=_validator(prompt.input_schema, "input"),
        output_validator=_validator(prompt.output_schema, "output"),
        backend=backend,
        options=backend.configure(prompt.front_matter, folder) if backend else None,
    )


def _validator(schema: dict[str, Any] | None, part: str) -> Validator | None:
    if schema is None:
        return None
    problems = check_schema(schema)
    if problems:
        words = "; ".join(f"{problem.path or 'the whole'}: {problem.message}" for problem in problems)
        raise PromptError(f"`{part}.schema` is no JSON Schema that can be used: {words}")
    return compile_schema(schema)


def _unknown_model(summary: AgentSummary, backends: Backends) -> Problem:
    message = f"nothing here runs the model {summary.model!r}: steps of agent {summary.name!r} will fail"
    return Problem("unknown_model", summary.source_file, message, f"use one of: {backends.models()}")


def _unique(loaded: _Loaded) -> Iterable[Agent]:
    """Leave out agents whose name two files of one environment claim: which one was meant cannot be known."""
    by_key: dict[tuple[str, str], list[Agent]] = defaultdict(list)
    for agent in loaded.agents:
        by_key[agent.environment, agent.name].append(agent)
    for (environment, name), agents in by_key.items():
        if len(agents) == 1:
            yield agents[0]
            continue
        files = [agent.summary.source_file for agent in agents]
        message = (
            f"{' and '.join(files)} both name the agent {name!r} in environment {environment!r}; neither is loaded"
        )
        hint = "change `metadata.name` in one of them"
        loaded.problems.extend(Problem("duplicate_agent", file, message, hint) for file in files)
