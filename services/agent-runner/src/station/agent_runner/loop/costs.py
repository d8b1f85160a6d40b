"""What an answer of a model has cost: as the prices file says, else as the price list of the model library does."""

from __future__ import annotations

from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

from station.agent_runner.loop.prices import Prices


def cost_of(response: ModelResponse, model: Model, name: str, prices: Prices) -> float | None:
    """Give it in US dollars; None if no price is known, or if the server did not say how many tokens it took.

    ``name`` is that of the agent's file, as ``openai/gpt-4o``.
    """
    used = response.usage
    if used.unmeasured_requests:
        return None
    cost = prices.cost(name, used.input_tokens, used.output_tokens)
    if cost is not None:
        return cost
    if isinstance(model, FunctionModel):
        return 0.0
    # A server may call a model by another name than the one that it was asked for.
    listed = _listed(response)
    return _listed(_answer(model, used)) if listed is None else listed


def has_price(model: Model, name: str, prices: Prices) -> bool:
    """Whether the cost of an answer of this model will be known."""
    return cost_of(_answer(model, RequestUsage(input_tokens=1, output_tokens=1)), model, name, prices) is not None


def _answer(model: Model, used: RequestUsage) -> ModelResponse:
    return ModelResponse(
        parts=[], usage=used, model_name=model.model_name, provider_name=model.system, provider_url=model.base_url
    )


def _listed(response: ModelResponse) -> float | None:
    if response.usage.cost is not None:
        return float(response.usage.cost)
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        return None
