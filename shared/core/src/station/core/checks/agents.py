"""Are the agents that a definition names there?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from station.contracts.actions import AGENT_RUN
from station.core.checks.walking import walk
from station.core.codes import Code
from station.core.findings import Findings, nearest_hint
from station.core.jsonvalue import Object, is_object


class AgentInfo(msgspec.Struct, frozen=True):
    """What a definition must know of an agent."""

    name: str
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    defaults: tuple[str, ...] = ()
    """Variables that the agent has a value for where none is given."""


def check_agents(findings: Findings, data: Object, agents: Mapping[str, AgentInfo], *, required: bool) -> None:
    """Check every agent that a definition names. A name with `@` is judged only if `agents` has it so."""
    here = sorted(name for name in agents if "@" not in name)
    for place in walk(data):
        name = _agent_name(place.state)
        if name is not None and name not in agents and "@" not in name:
            note = findings.error if required else findings.warning
            message = f"the environment has no agent {name!r}"
            note(Code.AGENT_MISSING, f"{place.pointer}/input/agent", message, nearest_hint(name, here))


def _agent_name(state: Object) -> str | None:
    """Give the agent of an `agent.run`, unless only a template will tell."""
    payload = state.get("input")
    name = payload.get("agent") if state.get("action") == AGENT_RUN and is_object(payload) else None
    return name if isinstance(name, str) and name.strip() and "{{" not in name else None
