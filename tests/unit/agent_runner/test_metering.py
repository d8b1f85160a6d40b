import asyncio

import pytest

from station.agent_runner.failures import AttemptFailed
from station.agent_runner.metering import Meter
from station.contracts.errors import ErrorType
from station.contracts.usage import Budget, Usage


async def test_calls_made_side_by_side_see_each_other() -> None:
    async def ask(used: Usage, /, *, tool: bool) -> str | None:
        await asyncio.sleep(0)
        return None

    meter = Meter(Budget(max_tool_calls=2), ask)
    ended = await asyncio.gather(*(meter.before_call(tool=True) for _ in range(5)), return_exceptions=True)
    assert [type(end) for end in ended] == [type(None)] * 2 + [AttemptFailed] * 3
    assert meter.usage == Usage(tool_calls=2)


@pytest.mark.parametrize("cost", [None, 0.0])
async def test_what_has_no_known_cost_is_the_end_where_costs_have_a_limit(cost: float | None) -> None:
    meter = Meter(Budget(max_cost_usd=5), priced=True)
    meter.add(Usage(requests=1, cost_usd=1.0))
    await meter.before_call(tool=True)
    meter.add(Usage(requests=1, cost_usd=cost))
    if cost is not None:
        await meter.before_call(tool=False)
        return
    with pytest.raises(AttemptFailed, match="STATION_PRICES_FILE") as failed:
        await meter.before_call(tool=False)
    assert failed.value.error.type is ErrorType.BUDGET_EXCEEDED
