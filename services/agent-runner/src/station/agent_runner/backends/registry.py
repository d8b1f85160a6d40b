"""Which backend serves which ``model``: the one table that a new backend is added to."""

from collections.abc import Iterable

from station.agent_runner.backends.exec import ExecBackend
from station.agent_runner.backends.protocol import Backend
from station.agent_runner.backends.scripted import ScriptedBackend


class Backends:
    """The backends of one runner process, by the prefix of the model."""

    def __init__(self, backends: Iterable[Backend]) -> None:
        self._by_prefix = {backend.prefix: backend for backend in backends}

    def find(self, model: str) -> Backend | None:
        """The backend of a model such as ``exec`` or ``openai/gpt-4o``; None if no backend serves it."""
        return self._by_prefix.get(model.partition("/")[0])

    def models(self) -> str:
        """What may stand as ``model``, for messages."""
        return ", ".join(sorted(self._by_prefix))


def all_backends() -> Backends:
    """Every backend there is, with fresh state."""
    return Backends((ExecBackend(), ScriptedBackend()))
