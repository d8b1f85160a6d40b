"""Where costs have a limit, nothing is sent whose cost nobody would know."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.prices import Prices
from station.agent_runner.loop.providers import Access, Providers
from station.contracts.errors import ErrorType
from station.contracts.usage import Budget
from tests.support.backend_conformance import held_for
from tests.support.openai_double import OpenAIDouble, Reply
from tests.support.stage import Stage

LIMIT = Budget(max_cost_usd=5)
OWN = "model: openai/own\n"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """The file of prices, which names one model."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"openai/told": {"inputPerMillion": 1_000_000, "outputPerMillion": 0}}))
    return file


@pytest.fixture
async def backends(double: OpenAIDouble, prices: Path) -> AsyncGenerator[Backends]:
    backends = all_backends(
        providers=Providers(openai=Access(base_url=double.url)), equipment=Equipment(prices=Prices(prices))
    )
    yield backends
    await backends.close()


async def test_a_model_is_not_asked_until_its_price_is_known(stage: Stage, double: OpenAIDouble, prices: Path) -> None:
    held = held_for("subject", budget=LIMIT, priced=True)
    error = (await stage.play(OWN, held)).error
    assert error is not None
    assert (error.type, error.retryable) == (ErrorType.BUDGET_EXCEEDED, False)
    assert "openai/own" in error.message
    assert "STATION_PRICES_FILE" in error.message
    assert double.requests == []
    prices.write_text('{"openai/own": {"inputPerMillion": 0, "outputPerMillion": 0}}')  # noqa: ASYNC240 - a short write
    assert (await stage.play(OWN, held_for("subject", budget=LIMIT, priced=True))).output == "hello"


async def test_an_agent_that_is_called_is_held_to_it_as_well(stage: Stage, double: OpenAIDouble) -> None:
    stage.add("child", OWN)
    double.script(Reply(calls=(("child", {"task": "x"}),)))
    held = held_for("subject", budget=LIMIT, priced=True)
    error = (await stage.play("model: openai/gpt-4o\nagents: [child]", held)).error
    assert error is not None
    assert error.type is ErrorType.BUDGET_EXCEEDED
    assert "openai/own" in error.message
    assert len(double.requests) == 1


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/told"])
async def test_a_server_that_does_not_tell_tokens_is_not_asked_again(
    stage: Stage, double: OpenAIDouble, model: str
) -> None:
    double.otherwise = lambda _: Reply(calls=(("nothing_like_that", {}),), tokens=None)
    error = (await stage.play(f"model: {model}", held_for("subject", budget=LIMIT, priced=True))).error
    assert error is not None
    assert error.type is ErrorType.BUDGET_EXCEEDED
    assert "STATION_PRICES_FILE" in error.message
    assert len(double.requests) == 1


async def test_without_a_limit_a_price_need_not_be_known(stage: Stage) -> None:
    held = held_for("subject", budget=Budget(max_tokens=100))
    assert (await stage.play(OWN, held)).output == "hello"
    assert held.meter.usage is not None
    assert held.meter.usage.cost_usd is None


async def test_a_script_costs_nothing(stage: Stage) -> None:
    stage.add("child", "model: scripted\nscripted: [{answer: ok}]")
    agent = "model: scripted\nagents: [child]\nscripted: [{calls: [{tool: child, args: {task: x}}], answer: done}]"
    held = held_for("subject", budget=LIMIT, priced=True)
    assert (await stage.play(agent, held)).output == "done"
    assert held.meter.usage is not None
    assert held.meter.usage.cost_usd == 0


async def test_what_the_file_says_is_what_is_spent(stage: Stage, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: Reply(calls=(("nothing_like_that", {}),), tokens=(3, 0))
    held = held_for("subject", budget=LIMIT, priced=True)
    error = (await stage.play("model: openai/told", held)).error
    assert error is not None
    assert "has cost 6.0000 USD" in error.message
    assert len(double.requests) == 2
