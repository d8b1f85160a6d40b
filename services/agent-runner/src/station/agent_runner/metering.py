"""Counts what an attempt uses, and says before each call whether it may use more."""

from __future__ import annotations

import asyncio
from typing import Protocol

from station.agent_runner.failures import budget_exceeded
from station.contracts.usage import Budget, Usage
from station.core.spending import total, used_up


class Ask(Protocol):
    """Tells what was used so far, and whether a tool is next; the answer is why not, or None."""

    async def __call__(self, used: Usage, /, *, tool: bool) -> str | None: ...


class Meter:
    """One attempt, agents that it calls included."""

    def __init__(self, budget: Budget | None = None, ask: Ask | None = None, *, priced: bool = False) -> None:
        """``priced``: a budget has `maxCostUsd`, so that nothing may be used whose price is not known."""
        self._budget = budget or Budget()
        self._ask = ask
        self.priced = priced
        self._unknown = False
        """Whether something was used whose price is not known."""
        self._used: Usage | None = None
        self._one_at_a_time = asyncio.Lock()
        """Calls that are made side by side are asked for one by one, or none would see the others."""

    @property
    def usage(self) -> Usage | None:
        """What was used so far; None before the first call."""
        return self._used

    async def before_call(self, *, tool: bool) -> None:
        """Ask before every call of a model, or of a tool.

        Raises:
            AttemptFailed: a budget is used up; nothing more may be sent.
        """
        async with self._one_at_a_time:
            await self._allowed(tool=tool)

    async def _allowed(self, *, tool: bool) -> None:
        if self.priced and self._unknown:
            raise budget_exceeded(
                "what was used so far has a cost that is not known, and a budget has maxCostUsd; "
                "see that the server tells its tokens, and that STATION_PRICES_FILE names the model's price"
            )
        used = self._used or Usage()
        why_not = used_up(self._budget, used, whose="the step", tool=tool)
        if why_not is None and self._ask is not None:
            why_not = await self._ask(used, tool=tool)
        if why_not is not None:
            raise budget_exceeded(why_not)
        if tool:
            self.add(Usage(tool_calls=1))

    def add(self, usage: Usage) -> None:
        """Count what a call has used."""
        self._unknown = self._unknown or (usage.requests > 0 and usage.cost_usd is None)
        self._used = total(self._used, usage)
