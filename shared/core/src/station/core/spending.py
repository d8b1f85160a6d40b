"""Adding up what agents use."""

from __future__ import annotations

from station.contracts.usage import Budget, Usage
from station.core.definition import BudgetLimits


def total(one: Usage | None, other: Usage | None) -> Usage | None:
    """Give the sum; a cost that is known in part is a cost.

    Where `maxCostUsd` holds, all of it is known: a runner sends nothing whose price is not.
    """
    if one is None or other is None:
        return one if other is None else other
    known = [cost for cost in (one.cost_usd, other.cost_usd) if cost is not None]
    return Usage(
        requests=one.requests + other.requests,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        tool_calls=one.tool_calls + other.tool_calls,
        cost_usd=sum(known) if known else None,
    )


def newest(one: Usage | None, other: Usage | None) -> Usage | None:
    """Give what two sums of one attempt say together, whichever was told first: each count only grows."""
    if one is None or other is None:
        return one if other is None else other
    return Usage(
        requests=max(one.requests, other.requests),
        input_tokens=max(one.input_tokens, other.input_tokens),
        output_tokens=max(one.output_tokens, other.output_tokens),
        tool_calls=max(one.tool_calls, other.tool_calls),
        cost_usd=max((cost for cost in (one.cost_usd, other.cost_usd) if cost is not None), default=None),
    )


def left(limits: BudgetLimits, used: Usage | None) -> Budget:
    """Give what is left of a budget."""
    tokens = used.input_tokens + used.output_tokens if used else 0
    return Budget(
        max_tokens=None if limits.max_tokens is None else max(0, limits.max_tokens - tokens),
        max_cost_usd=None if limits.max_cost_usd is None else max(0.0, limits.max_cost_usd - _cost(used)),
        max_tool_calls=None
        if limits.max_tool_calls is None
        else max(0, limits.max_tool_calls - (used.tool_calls if used else 0)),
    )


def used_up(budget: Budget, used: Usage, *, whose: str, tool: bool) -> str | None:
    """Say in words which limit forbids another call, of a tool or of a model; None if none does."""
    tokens = used.input_tokens + used.output_tokens
    if budget.max_tokens is not None and tokens >= budget.max_tokens:
        return f"{whose} has used {tokens:,} tokens, and its budget is {budget.max_tokens:,} (maxTokens)"
    if budget.max_cost_usd is not None and _cost(used) >= budget.max_cost_usd:
        return f"{whose} has cost {_cost(used):.4f} USD, and its budget is {budget.max_cost_usd:.4f} USD (maxCostUsd)"
    if tool and budget.max_tool_calls is not None and used.tool_calls >= budget.max_tool_calls:
        return f"{whose} called tools {used.tool_calls:,} times; its budget is {budget.max_tool_calls:,} (maxToolCalls)"
    return None


def _cost(used: Usage | None) -> float:
    return (used.cost_usd if used else None) or 0.0
