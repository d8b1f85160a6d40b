"""Backends are tested on the loop that the service runs on, which starts and reaps programs in its own way."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.loop.equipment import Equipment, Pace
from station.agent_runner.loop.providers import Access, Providers
from tests.support.openai_double import OpenAIDouble
from tests.support.stage import Stage


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def double() -> AsyncGenerator[OpenAIDouble]:
    """A server of models."""
    async with OpenAIDouble().running() as double:
        yield double


@pytest.fixture
async def backends(double: OpenAIDouble) -> AsyncGenerator[Backends]:
    """Every backend, the models being those of the double."""
    access = Access(base_url=double.url)
    backends = all_backends(
        providers=Providers(openai=access, ollama=access, silence_seconds=5.0),
        equipment=Equipment(pace=Pace(first_pause=0.001)),
    )
    yield backends
    await backends.close()


@pytest.fixture
def stage(tmp_path: Path, backends: Backends) -> Stage:
    """An agent of such a model."""
    return Stage(tmp_path, backends)
