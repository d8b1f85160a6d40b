"""A folder of agents of which one, ``subject``, is executed as the runner does it, while one listens."""

from __future__ import annotations

from pathlib import Path

from station.agent_runner.backends.registry import Backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.held import Held
from tests.support.agent_files import found_in, write_agent
from tests.support.backend_conformance import MAX_OUTPUT, held_for
from tests.support.told import Told

SUBJECT = "subject"


class Stage:
    """One agent, others beside it, and what is told of an attempt."""

    def __init__(self, root: Path, backends: Backends) -> None:
        self.told = Told()
        self._root = root
        self._backends = backends

    def add(self, name: str, front_matter: str, body: str = "Task: {{task}}") -> None:
        """Write an agent."""
        write_agent(self._root, name, f"---\n{front_matter.strip()}\n---\n{body}\n")

    async def play(self, front_matter: str, held: Held | None = None, body: str = "Task: {{task}}") -> Outcome:
        """Execute one attempt of the agent with this front matter."""
        self.add(SUBJECT, front_matter, body)
        catalog = await load_catalog(self._root, self._backends)
        assert not catalog.problems
        executor = AgentRun(found_in(catalog), max_output_bytes=MAX_OUTPUT, progress=self.told.voice)
        return await executor.execute(held or held_for(SUBJECT))
