"""Agents written into a folder for one test, and loaded as the runner loads them."""

from pathlib import Path
from textwrap import dedent
from typing import cast

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import AgentCall, Backend
from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.catalog import Catalog, load_catalog
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.versions import Versions

ENVIRONMENT = "test"


def write_agent(root: Path, name: str, text: str, environment: str = ENVIRONMENT) -> Path:
    """Put ``<root>/<environment>/agents/<name>.prompt`` there; the text may be indented."""
    file = root / environment / "agents" / f"{name}.prompt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text).lstrip("\n"))
    return file


async def load_agent(root: Path, name: str, text: str, backends: Backends | None = None) -> Agent:
    """Write one agent and load it; it must load without a problem."""
    write_agent(root, name, text)
    catalog = await load_catalog(root, backends or all_backends())
    agent = catalog.find(ENVIRONMENT, name)
    assert agent is not None, catalog.problems
    return agent


def found_in(catalog: Catalog) -> Versions:
    """The agents of a catalog, where nobody keeps older versions."""
    return Versions(Path("environments"), lambda: catalog, all_backends(), scheduler=cast("Scheduler", None))


def call_of(
    agent: Agent,
    task: str | None = "do it",
    variables: dict[str, object] | None = None,
    attempt: int = 1,
    max_output_bytes: int = 1 << 20,
) -> AgentCall:
    """A call as the runner makes it."""
    return AgentCall(
        agent=agent,
        task=task,
        variables=variables or {},
        run_id="run_1",
        step_id="5" * 32,
        attempt=attempt,
        idempotency_key=f"run_1:{'5' * 32}:{attempt}",
        max_output_bytes=max_output_bytes,
    )


def backend_of(agent: Agent) -> Backend:
    """Its backend, which must be there."""
    assert agent.backend is not None
    return agent.backend
