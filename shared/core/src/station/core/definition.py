"""The canonical definition: what every spelling of a workflow becomes once it is loaded.

Only `loading.load` makes one from outside text; whoever holds a `Definition` may take its rules as kept:
every `start` is filled in, every target exists, every path parses, nesting is bounded.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import msgspec

Number: TypeAlias = int | float
"""A JSON number; an integer stays one, so that a definition is shown as it was typed."""

Schema: TypeAlias = dict[str, Any] | bool
"""A JSON Schema document."""


class Node(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What all parts of a definition share: immutable, camelCase outside, defaults left out."""


class Retry(Node, frozen=True, kw_only=True):
    """When and how often a failed attempt is made again."""

    max_attempts: int
    """All attempts, the first one included; at least 1."""
    backoff_seconds: Number = 0
    multiplier: Number = 1
    """Factor on the backoff from one attempt to the next."""
    max_backoff_seconds: Number | None = None
    jitter: Number = 0
    """Share of the backoff that is random, 0 to 1."""
    on: tuple[str, ...] | None = None
    """Error types that are tried again; None is every retryable one."""


class BudgetLimits(Node, frozen=True, kw_only=True):
    """What agents may use; None is no limit."""

    max_tokens: int | None = None
    """Input and output together."""
    max_cost_usd: Number | None = None
    max_tool_calls: int | None = None


class Operation(Node, frozen=True, kw_only=True, tag_field="type", tag="operation"):
    """One action: an agent, an approval, a signal or a timer."""

    name: str
    action: str
    input: dict[str, Any] = {}
    """The action's payload, with templates in its strings."""
    timeout_seconds: Number | None = None
    retry: Retry | None = None
    result_path: str | None = None
    """None is the default of the scope: `steps.<name>` at the top, `result` inside."""
    on_error: str | None = None
    budget: BudgetLimits | None = None
    """Of the step, all its attempts together; for agents."""
    next: str | None = None
    end: bool = False


class Condition(Node, frozen=True, kw_only=True, rename={"if_": "if"}):
    """One arm of a switch."""

    if_: str
    """A Starlark expression."""
    next: str


class Switch(Node, frozen=True, kw_only=True, tag_field="type", tag="switch"):
    """Goes on at the first condition that holds."""

    name: str
    conditions: tuple[Condition, ...] = ()
    data_path: str | None = None
    default_next: str | None = None
    next: str | None = None
    end: bool = False


class Join(Node, frozen=True, kw_only=True):
    """What a parallel waits for."""

    mode: str = "all"


class Branch(Node, frozen=True, kw_only=True):
    """One arm of a parallel, a scope of its own."""

    name: str
    start: str
    states: tuple[State, ...]


class Parallel(Node, frozen=True, kw_only=True, tag_field="type", tag="parallel"):
    """Runs its branches side by side and joins them."""

    name: str
    branches: tuple[Branch, ...]
    join: Join = Join()
    result_path: str | None = None
    on_error: str | None = None
    next: str | None = None
    end: bool = False


class Inject(Node, frozen=True, kw_only=True, tag_field="type", tag="inject"):
    """Writes fixed data; None as its path merges an object into the root."""

    name: str
    data: Any
    result_path: str | None = None
    next: str | None = None
    end: bool = False


class Iterator(Node, frozen=True, kw_only=True):
    """What is done with each item of a foreach, a scope of its own."""

    start: str
    states: tuple[State, ...]


class Foreach(Node, frozen=True, kw_only=True, tag_field="type", tag="foreach"):
    """Runs its iterator once for each item of a list."""

    name: str
    items_path: str
    iterator: Iterator
    item_name: str = "item"
    max_concurrency: int = 1
    result_path: str | None = None
    on_error: str | None = None
    next: str | None = None
    end: bool = False


State: TypeAlias = Operation | Switch | Parallel | Inject | Foreach


class Definition(Node, frozen=True, kw_only=True):
    """One workflow, complete and checked."""

    id: str
    start: str
    states: tuple[State, ...]
    version: str | None = None
    """The author's label, kept as typed; the revision number is the store's."""
    name: str | None = None
    description: str | None = None
    input_schema: Schema | None = None
    output_schema: Schema | None = None
    timeout_seconds: Number | None = None
    """The deadline of a run, counted from its start."""
    labels: dict[str, str] = {}
    budget: BudgetLimits | None = None
    """Of a run, all its agents together."""


def to_canonical(definition: Definition) -> dict[str, Any]:
    """Give the definition as plain JSON data; `from_canonical` is its inverse."""
    return msgspec.json.decode(msgspec.json.encode(definition), type=dict[str, Any])


def from_canonical(canonical: Any) -> Definition:
    """Rebuild a definition from stored canonical data. Raises msgspec.ValidationError on anything else."""
    return msgspec.convert(canonical, Definition)


def digest(definition: Definition) -> str:
    """Give the sha256, in hex, of the canonical JSON with sorted keys: same content, same digest."""
    encoded = msgspec.json.encode(to_canonical(definition), order="deterministic")
    return hashlib.sha256(encoded).hexdigest()
