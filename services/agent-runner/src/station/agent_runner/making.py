"""Makes an agent from the text of its file: one that lies in a folder now, or a version that a run is bound to."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from msgspec import Struct

from station.agent_runner.agent import Agent
from station.agent_runner.backends.registry import Backends
from station.agent_runner.loop.config import model_settings, output_retries
from station.agent_runner.prompts import PromptError, PromptFile, read_prompt
from station.contracts.agents import AgentSummary, AgentVersion
from station.core.schemas import Validator, check_schema, compile_schema


class Source(Struct, frozen=True, kw_only=True):
    """The text of one file, and where it belongs."""

    text: str
    partials: dict[str, str]
    """All that its folder has, by name."""
    folder: Path
    """Of its environment, absolute."""
    where: str
    """Relative to all environments."""
    updated_at: str | None = None


async def make_agent(source: Source, backends: Backends) -> Agent:
    """Make an agent that calls no others yet; its digest is that of its own text and partials.

    Raises:
        PromptError: the text is no usable prompt.
        Misconfigured: its backend cannot use its part of it, or no model could use its ``config``.
    """
    prompt = await read_prompt(source.text, PurePosixPath(source.where), source.partials)
    if "@" in prompt.name or prompt.name != prompt.name.strip():
        raise PromptError(f"the name {prompt.name!r} cannot be used: no `@` and no space around it")
    model_settings(prompt.config)
    output_retries(prompt.front_matter)
    backend = backends.find(prompt.model)
    digest = _own_digest(source.text, prompt.partials)
    return Agent(
        summary=_summary(source, prompt, digest),
        version=AgentVersion(
            digest=digest,
            environment=source.folder.name,
            name=prompt.name,
            source_file=source.where,
            source=source.text,
            partials=prompt.partials,
        ),
        folder=source.folder,
        prompt=prompt.prompt,
        defaults=prompt.defaults,
        input_validator=_validator(prompt.input_schema, "input"),
        output_validator=_validator(prompt.output_schema, "output"),
        backend=backend,
        options=backend.configure(prompt.front_matter, source.folder) if backend else None,
        config=prompt.config,
        mcp_servers=prompt.mcp_servers,
        takes_history=prompt.takes_history,
        promises_json=prompt.promises_json,
        remarks=prompt.remarks,
    )


def bind(agent: Agent, digest: str, children: dict[str, str]) -> Agent:
    """Give the agent with the digests of those that it calls, and one of its own that covers them."""
    return msgspec.structs.replace(
        agent,
        summary=msgspec.structs.replace(agent.summary, digest=digest),
        version=msgspec.structs.replace(agent.version, digest=digest, agents=children),
    )


def whole_digest(agent: Agent, reachable: dict[str, str]) -> str:
    """Give the digest over an agent and all that it can reach, directly or not: own digests by name."""
    if not reachable:
        return agent.summary.digest
    return _sha256(msgspec.json.encode([agent.summary.digest, reachable], order="deterministic"))


def _own_digest(text: str, partials: dict[str, str]) -> str:
    if not partials:
        return _sha256(text.encode())
    return _sha256(msgspec.json.encode([text, partials], order="deterministic"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _summary(source: Source, prompt: PromptFile, digest: str) -> AgentSummary:
    return AgentSummary(
        name=prompt.name,
        environment=source.folder.name,
        model=prompt.model,
        description=prompt.description,
        input_schema=prompt.input_schema,
        output_schema=prompt.output_schema,
        tools=prompt.tools,
        source_file=source.where,
        digest=digest,
        updated_at=source.updated_at,
        agents=prompt.agents,
        max_steps=prompt.max_steps,
        defaults=tuple(sorted(prompt.defaults)),
    )


def _validator(schema: dict[str, Any] | None, part: str) -> Validator | None:
    if schema is None:
        return None
    problems = check_schema(schema)
    if problems:
        words = "; ".join(f"{problem.path or 'the whole'}: {problem.message}" for problem in problems)
        raise PromptError(f"`{part}.schema` is no JSON Schema that can be used: {words}")
    return compile_schema(schema)
