import asyncio

from station.agent_runner.failures import AttemptFailed
from station.agent_runner.metering import Meter
from station.contracts.usage import Budget, Usage


async def test_calls_made_side_by_side_see_each_other() -> None:
    async def ask(used: Usage, /, *, tool: bool) -> str | None:
        await asyncio.sleep(0)
        return None

    meter = Meter(Budget(max_tool_calls=2), ask)
    ended = await asyncio.gather(*(meter.before_call(tool=True) for _ in range(5)), return_exceptions=True)
    assert [type(end) for end in ended] == [type(None)] * 2 + [AttemptFailed] * 3
    assert meter.usage == Usage(tool_calls=2)
