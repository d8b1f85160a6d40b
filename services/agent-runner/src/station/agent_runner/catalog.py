"""Loads ``<environments>/<env>/agents/*.prompt``. A file that does not load is told, and is never the end."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import Configurable, Misconfigured
from station.agent_runner.backends.registry import Backends
from station.agent_runner.making import Source, bind, make_agent, whole_digest
from station.agent_runner.mcp.allowed import check_tools
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.prompts import PromptError
from station.contracts.agents import AgentSummary
from station.contracts.problems import Problem
from station.contracts.subjects import is_token
from station.runtime.clock import to_rfc3339
from station.runtime.logging import get_logger

log = get_logger("catalog")
MAX_FILE_BYTES = 256 * 1024
AGENTS = "agents"
SUFFIX = ".prompt"
PARTIAL = "_"
"""``_name.prompt`` is no agent but a partial: other prompts say ``{{> name}}``."""


class Catalog(Struct, frozen=True, kw_only=True):
    """What was found at one moment."""

    environments: tuple[str, ...] = ()
    agents: dict[tuple[str, str], Agent] = {}
    """By environment and name."""
    problems: tuple[Problem, ...] = ()
    servers: frozenset[tuple[str, str]] = frozenset()
    """MCP servers, by environment and name, whose tools its agents may use."""

    def find(self, environment: str, name: str) -> Agent | None:
        """The agent of that name in that environment."""
        return self.agents.get((environment, name))

    def names(self, environment: str) -> list[str]:
        """The names of an environment's agents, for messages."""
        return sorted(name for found, name in self.agents if found == environment)


class _Loaded(Struct, frozen=True):
    agents: list[Agent]
    problems: list[Problem]
    servers: set[tuple[str, str]]


async def load_catalog(root: Path, backends: Backends, servers: McpServers | None = None) -> Catalog:
    """Read every environment below a folder. Never fails: what cannot be read becomes a problem.

    What agents say of tools is compared with what is known of the MCP servers; without ``servers`` it is not looked at.
    """
    loaded = _Loaded([], [], set())
    environments: list[str] = []
    for folder in _folders(root, loaded.problems):
        environments.append(folder.name)
        files = sorted((folder / AGENTS).glob(f"*{SUFFIX}"))
        partials = _partials([file for file in files if file.name.startswith(PARTIAL)], root, loaded.problems)
        for file in files:
            if not file.name.startswith(PARTIAL):
                await _load_file(file, partials, root, backends, loaded)
    agents = _bound(_with_tools(_unique(loaded), loaded, environments, servers), loaded.problems)
    return Catalog(
        environments=tuple(environments),
        agents={(agent.environment, agent.name): agent for agent in agents},
        problems=tuple(loaded.problems),
        servers=frozenset(loaded.servers),
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


def _partials(files: list[Path], root: Path, problems: list[Problem]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        try:
            found[file.stem.removeprefix(PARTIAL)] = _content(file).decode()
        except (OSError, UnicodeDecodeError, PromptError) as error:
            where = str(file.relative_to(root))
            hint = "correct the file; prompts that use it do not load until then"
            problems.append(Problem("partial_invalid", where, f"the partial cannot be read: {error}", hint))
    return found


async def _load_file(file: Path, partials: dict[str, str], root: Path, backends: Backends, loaded: _Loaded) -> None:
    where = str(file.relative_to(root))
    try:
        source = Source(
            text=_content(file).decode(),
            partials=partials,
            folder=file.parent.parent.absolute(),
            where=where,
            updated_at=_changed_at(file),
        )
        agent = await make_agent(source, backends)
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
        hint = "correct the name, or remove it; the agent can be used meanwhile"
        loaded.problems.extend(Problem("unknown_field", where, remark, hint) for remark in agent.remarks)
        if agent.backend is None:
            loaded.problems.append(_unknown_model(agent.summary, backends))
        elif isinstance(agent.backend, Configurable):
            loaded.problems.extend(_not_configured(agent.summary, agent.backend))


def _changed_at(file: Path) -> str:
    return to_rfc3339(int(file.stat().st_mtime * 1000))


def _content(file: Path) -> bytes:
    with file.open("rb") as source:
        content = source.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise PromptError(f"the file is larger than {MAX_FILE_BYTES} bytes")
    return content


def _unknown_model(summary: AgentSummary, backends: Backends) -> Problem:
    message = f"nothing here runs the model {summary.model!r}: steps of agent {summary.name!r} will fail"
    return Problem("unknown_model", summary.source_file, message, f"use one of: {backends.models()}")


def _not_configured(summary: AgentSummary, backend: Configurable) -> Iterator[Problem]:
    missing = backend.not_configured(summary.model)
    if missing is not None:
        message = f"the model {summary.model!r} cannot be used yet: steps of agent {summary.name!r} will fail"
        yield Problem("model_not_configured", summary.source_file, message, missing)


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


def _with_tools(
    agents: Iterable[Agent], loaded: _Loaded, environments: list[str], servers: McpServers | None
) -> Iterator[Agent]:
    """Leave out agents that name tools or servers which are not there, and tell what is wrong with the servers."""
    if servers is None:
        yield from agents
        return
    for agent in agents:
        checked = check_tools(servers, agent)
        loaded.problems.extend(checked.problems)
        loaded.servers.update((agent.environment, server) for server in checked.servers)
        if checked.usable:
            yield agent
    for environment in environments:
        loaded.problems.extend(servers.configured(environment).problems)
    for environment, name in sorted(loaded.servers):
        server, trouble = servers.configured(environment).servers.get(name), servers.trouble(environment, name)
        if server is not None and trouble is not None:
            hint = "it is asked again every half minute; steps that use its tools fail until it answers"
            loaded.problems.append(Problem("mcp_server_unavailable", server.file, trouble, hint))


def _bound(agents: Iterable[Agent], problems: list[Problem]) -> Iterator[Agent]:
    """Join agents to those that they call; one that calls what is not there is left out, and so is who calls it."""
    by_key = {(agent.environment, agent.name): agent for agent in agents}
    while lost := [
        (agent, child)
        for agent in by_key.values()
        for child in agent.summary.agents
        if (agent.environment, child) not in by_key
    ]:
        for agent, child in lost:
            if by_key.pop((agent.environment, agent.name), None) is not None:
                problems.append(_unknown_child(agent, child, by_key))
    own = {key: agent.summary.digest for key, agent in by_key.items()}
    reach = {key: _reachable(key, by_key) for key in by_key}
    whole = {
        key: whole_digest(agent, {name: own[agent.environment, name] for name in reach[key]})
        for key, agent in by_key.items()
    }
    for (environment, name), agent in by_key.items():
        children = {child: whole[environment, child] for child in agent.summary.agents}
        yield bind(agent, whole[environment, name], children) if children else agent


def _reachable(key: tuple[str, str], by_key: dict[tuple[str, str], Agent]) -> set[str]:
    environment, name = key
    seen: set[str] = set()
    pending = list(by_key[key].summary.agents)
    while pending:
        child = pending.pop()
        if child not in seen:
            seen.add(child)
            pending += by_key[environment, child].summary.agents
    return seen - {name}


def _unknown_child(agent: Agent, child: str, known: Iterable[tuple[str, str]]) -> Problem:
    names = sorted(name for environment, name in known if environment == agent.environment)
    message = f"agent {agent.name!r} calls the agent {child!r}, which environment {agent.environment!r} does not have"
    hint = f"correct `agents`; there are: {', '.join(names) or 'none'}"
    return Problem("unknown_agent", agent.summary.source_file, message, hint)
