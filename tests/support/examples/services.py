"""One example of what services say of themselves, and of a refusal."""

import msgspec

from station.contracts.agents import (
    AgentList,
    AgentSummary,
    AgentVersion,
    Announced,
    AnnounceRunner,
    GetVersion,
    KeepVersions,
    ListAgents,
)
from station.contracts.errors import Failure
from station.contracts.health import DoctorReport, Finding, GetHealth, Health, RunDoctor, ServiceStarted
from station.contracts.problems import Problem
from station.contracts.progress import AgentProgress
from station.contracts.usage import Usage

PROBLEM = Problem(
    code="agent_invalid", path="production/agents/a.prompt", message="It has no model.", hint="Add a line `model:`."
)
AGENT = AgentSummary(
    name="log-reader",
    environment="production",
    model="exec",
    description="Reads logs.",
    input_schema={"type": "object", "required": ["since"]},
    output_schema={"type": "object"},
    tools=("kubectl",),
    source_file="production/agents/log-reader.prompt",
    digest="b2" * 32,
    updated_at="2026-01-02T03:04:05.678Z",
)
VERSION = AgentVersion(
    digest="b2" * 32,
    environment="production",
    name="log-reader",
    source_file="production/agents/log-reader.prompt",
    source="---\nmodel: openai/gpt-4o\n---\nRead the logs of {{service}}.\n",
    partials={"tone": "Be brief."},
    agents={"grep": "c3" * 32},
)

EXAMPLES: tuple[msgspec.Struct, ...] = (
    ListAgents(environment="production", name="log-reader"),
    AgentList(items=(AGENT,), problems=(PROBLEM,)),
    AnnounceRunner(runner="runner-a", boot=7, environments=("production",), agents=(AGENT,), problems=(PROBLEM,)),
    Announced(missing=("b2" * 32,)),
    KeepVersions(versions=(VERSION,)),
    GetVersion(digest="b2" * 32),
    VERSION,
    AgentProgress(
        run_id="run_01jz0",
        step_id="checkPods-5f2a",
        attempt=2,
        number=4,
        at="2026-01-02T03:04:05.678Z",
        agent="log-reader",
        kind="tool_result",
        text="found it",
        tool="kubectl__logs",
        call_id="call_1",
        arguments={"pod": "checkout-1"},
        result={"lines": 12},
        is_error=True,
        usage=Usage(requests=1, input_tokens=200, output_tokens=20, tool_calls=1),
        truncated=True,
    ),
    GetHealth(),
    Health(service="scheduler", ready=True, detail="catching up", facts={"outboxDepth": 3}),
    ServiceStarted(service="station-scheduler", subjects=("wf.rpc.run.start",)),
    RunDoctor(limit=50),
    DoctorReport(
        checked_runs=50,
        checked_events=900,
        findings=(Finding(check="fold", subject="run_01jz0", detail="the stored status differs"),),
        dead_letters=(Finding(check="dead_letter", subject="wf.task.run.x", detail="not JSON"),),
    ),
    Failure(
        code="input_invalid",
        detail="The input does not fit: /input/service: it is missing",
        status=400,
        errors=(PROBLEM,),
        context={"status": "RUNNING"},
    ),
)

LATER: dict[str, msgspec.Struct] = {
    "AgentList.agents": AgentList(items=(msgspec.structs.replace(AGENT, agents=("grep",), max_steps=8),)),
    "AnnounceRunner.agents": AnnounceRunner(
        runner="runner-a",
        boot=7,
        environments=("production",),
        agents=(msgspec.structs.replace(AGENT, agents=("grep",), max_steps=8),),
    ),
    "AgentList.defaults": AgentList(items=(msgspec.structs.replace(AGENT, defaults=("since",)),)),
    "AnnounceRunner.defaults": AnnounceRunner(
        runner="runner-a",
        boot=7,
        environments=("production",),
        agents=(msgspec.structs.replace(AGENT, defaults=("since",)),),
    ),
}
