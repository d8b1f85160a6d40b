"""Which backend serves which ``model``: the one table that a new backend is added to."""

from collections.abc import Callable, Iterable
from pathlib import Path

from station.agent_runner.backends.exec import ExecBackend
from station.agent_runner.backends.leftovers import Leftovers
from station.agent_runner.backends.llm import LlmBackend
from station.agent_runner.backends.nats import NatsBackend
from station.agent_runner.backends.protocol import Backend, Closing
from station.agent_runner.backends.scripted import ScriptedBackend
from station.agent_runner.backends.tool import ToolBackend
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.providers import Providers
from station.agent_runner.mcp.servers import McpServers
from station.runtime.bus import Bus


class Backends:
    """The backends of one runner process, by the prefix of the model."""

    def __init__(self, backends: Iterable[Backend]) -> None:
        self._by_prefix = {prefix: backend for backend in backends for prefix in backend.prefixes}

    def find(self, model: str) -> Backend | None:
        """The backend of a model such as ``exec`` or ``openai/gpt-4o``; None if no backend serves it."""
        return self._by_prefix.get(model.partition("/")[0])

    def clean_up(self) -> None:
        """End what earlier starts of this runner have left behind."""
        for backend in set(self._by_prefix.values()):
            backend.clean_up()

    async def close(self) -> None:
        """Give back what backends hold open, at the end of the process."""
        for backend in set(self._by_prefix.values()):
            if isinstance(backend, Closing):
                await backend.close()

    def models(self) -> str:
        """What may stand as ``model``, for messages."""
        return ", ".join(sorted(self._by_prefix))


def all_backends(
    notes: Path | None = None,
    learn: Callable[[str], None] = lambda _: None,
    bus: Bus | None = None,
    *,
    servers: McpServers | None = None,
    providers: Providers | None = None,
    equipment: Equipment | None = None,
) -> Backends:
    """Every backend there is, with fresh state.

    ``notes`` is a folder for what must be known after a crash; ``learn`` is told the secrets that come up.
    Without a ``bus`` programs on NATS cannot be asked; without ``providers`` no model can, without ``servers`` no tool.
    """
    equipment = equipment or Equipment(servers=servers)
    backends: list[Backend] = [
        ExecBackend(Leftovers(notes), learn),
        ScriptedBackend(equipment),
        NatsBackend(bus),
        LlmBackend(providers or Providers(), equipment),
    ]
    if servers is not None:
        backends.append(ToolBackend(servers))
    return Backends(backends)
