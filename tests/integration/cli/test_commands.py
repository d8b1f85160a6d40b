"""`stn` as a person runs it, against the real gateway, with a scheduler that answers from memory behind it."""
# ruff: noqa: F811 - fixtures that are imported are named again as parameters

import asyncio
import contextlib
import io
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest

from station.cli.__main__ import main
from station.contracts import subjects
from station.contracts.approvals import ApprovalPage, ApprovalView
from station.contracts.problems import Problem
from station.contracts.progress import AgentProgress
from station.contracts.runs import RunView, StepPage, StepView
from station.contracts.statuses import RunStatus
from station.contracts.usage import AgentUse, Usage
from station.contracts.workflows import ValidationResult
from station.runtime.bus import Bus
from station.runtime.rpc import refuse
from tests.integration.gateway.conftest import Running, gateway, scheduler, start  # noqa: F401
from tests.support.fake_scheduler import AT, FakeScheduler, approval, run_view, workflow
from tests.support.nats import NatsServer, nats_server  # noqa: F401


class Done(msgspec.Struct):
    """What a command has left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Stn:
    """Runs `stn` as alice, of the team sre, in a thread of this process."""

    async def __call__(self, *arguments: str, stdin: bytes = b"") -> Done:
        return await asyncio.to_thread(self._run, list(arguments), stdin)

    @staticmethod
    def _run(arguments: list[str], stdin: bytes) -> Done:
        out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            with pytest.raises(SystemExit) as exit_:
                main(arguments)
        assert isinstance(out.buffer, io.BytesIO)
        code = exit_.value.code
        return Done(code if isinstance(code, int) else 0, out.buffer.getvalue().decode(), err.getvalue())


@pytest.fixture
def stn(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> Stn:
    for name, value in (("API_URL", gateway.url), ("USER", "alice"), ("TEAMS", "sre,web")):
        monkeypatch.setenv(f"STATION_{name}", value)
    return Stn()


def ended(scheduler: FakeScheduler, run_id: str, status: RunStatus) -> None:
    scheduler.add_run(run_id, "run_created", "run_started", f"run_{status.value.lower()}", status=status)


async def test_a_run_is_started_with_everything_that_was_typed(stn: Stn, scheduler: FakeScheduler) -> None:
    arguments = ["run", "start", "triage", "--input", '{"a": 1, "b": 2}', "-i", "b=3", "-i", "c.d=x"]
    options = ["--label", "team=ops", "--environment", "prod", "--version", "4", "--idempotency-key", "key-1"]
    done = await stn(*arguments, *options, "-o", "json")
    assert done.code == 0, done.err
    assert done.json()["id"] == "run_1"
    request = scheduler.last(subjects.RUN_START)
    assert (request.workflow_id, request.version, request.environment) == ("triage", 4, "prod")
    assert request.input == {"a": 1, "b": 3, "c": {"d": "x"}}
    assert request.labels == {"team": "ops"}
    assert request.actor == "user:alice"
    assert request.idempotency_key == "key-1"


@pytest.mark.parametrize(
    ("status", "code"),
    [(RunStatus.COMPLETED, 0), (RunStatus.FAILED, 1), (RunStatus.CANCELLED, 3), (RunStatus.TIMED_OUT, 4)],
)
async def test_the_outcome_is_the_exit_code(stn: Stn, scheduler: FakeScheduler, status: RunStatus, code: int) -> None:
    ended(scheduler, "run_1", status)
    done = await stn("run", "start", "triage", "--wait")
    assert done.code == code, done.err
    assert status.value in done.out
    watched = await stn("run", "watch", "run_1", "-o", "json")
    assert watched.code == code
    assert [json.loads(line)["seq"] for line in watched.out.splitlines()] == [1, 2, 3]


async def test_watch_shows_events_as_they_come_and_ends_with_the_run(stn: Stn, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created", "run_started")
    watching = asyncio.create_task(stn("run", "watch", "run_1"))
    await scheduler.wait_for(subjects.QUERY_RUN)
    for kind in ("run_paused", "run_resumed", "run_completed"):
        await scheduler.publish(scheduler.commit("run_1", kind))
    done = await watching
    assert done.code == 0, done.err
    kinds = [line.split()[1] for line in done.out.splitlines()[:5]]
    assert kinds == ["run_created", "run_started", "run_paused", "run_resumed", "run_completed"]


@pytest.mark.parametrize("option", [None, "--no-progress"])
async def test_watch_shows_what_agents_say_unless_told_not_to(
    stn: Stn, scheduler: FakeScheduler, nats_server: NatsServer, option: str | None
) -> None:
    scheduler.add_run("run_1", "run_created", "run_started")
    entered = scheduler.commit("run_1", "state_entered", step_id="s1")
    entered.data.update(stateName="look", stateType="operation")
    watching = asyncio.create_task(stn("run", "watch", "run_1", *([option] if option else [])))
    await scheduler.wait_for(subjects.QUERY_RUN)
    said = AgentProgress(
        run_id="run_1", step_id="s1", attempt=1, number=1, at=AT, agent="triage", kind="tool_call", tool="k8s__pods"
    )
    bus = await Bus.connect(nats_server.url, name="runner")
    await bus.publish(subjects.progress("run_1"), msgspec.json.encode(said))
    await bus.flush()
    await bus.close()
    over = scheduler.commit("run_1", "step_succeeded", step_id="s1")
    over.data.update(usage={"requests": 2, "inputTokens": 1200, "outputTokens": 80, "toolCalls": 1, "costUsd": 0.0123})
    await scheduler.publish(over)
    await scheduler.publish(scheduler.commit("run_1", "run_completed"))
    done = await watching
    assert done.code == 0, done.err
    assert ("look │ → k8s__pods null" in done.out) == (option is None)
    assert "2 requests, 1,200 + 80 tokens, 1 tool call, $0.0123" in done.out


async def test_what_was_used_and_by_which_agent_is_shown(stn: Stn, scheduler: FakeScheduler) -> None:
    used = Usage(requests=1, input_tokens=10, output_tokens=5, cost_usd=0.5)
    scheduler.add_run("run_1", "run_created", status=RunStatus.COMPLETED)
    view = msgspec.structs.replace(scheduler.view("run_1"), usage=used)
    agent = AgentUse(name="triage", environment="default", model="openai/gpt-4o", digest="0123456789abcdef")
    step = msgspec.convert(
        dict.fromkeys(StepView.__struct_encode_fields__)
        | {"stepId": "s1", "stateName": "look", "stateType": "operation", "branchPath": [], "visit": 1, "attempt": 1}
        | {"action": "agent.run", "status": "SUCCEEDED", "usage": used, "agent": agent},
        StepView,
        from_attributes=True,
    )
    scheduler.answers[subjects.QUERY_RUN] = lambda _request: view
    scheduler.answers[subjects.QUERY_STEPS] = lambda _request: StepPage(items=(step,), next_cursor=None, total=1)
    assert "1 request, 10 + 5 tokens, $0.5000" in (await stn("run", "show", "run_1")).out
    steps = await stn("run", "steps", "run_1")
    assert "triage 0123456789ab " in steps.out
    assert "1 request, 10 + 5 tokens, $0.5000" in steps.out
    shown = (await stn("run", "steps", "run_1", "-o", "json")).json()["items"][0]
    assert shown["agent"]["digest"] == "0123456789abcdef"
    assert shown["usage"]["costUsd"] == 0.5


async def test_a_refused_start_is_not_a_failed_run(stn: Stn, scheduler: FakeScheduler) -> None:
    def no(_request: object) -> object:
        problem = Problem("required", "/namespace", "is required", "add it")
        raise refuse(400, "input_invalid", "the input does not fit", errors=[problem])

    scheduler.answers[subjects.RUN_START] = no
    done = await stn("run", "start", "triage", "--wait")
    assert done.code == 2
    assert "the input does not fit [400 input_invalid]" in done.err
    assert "required at /namespace: is required" in done.err


async def test_waiting_may_end_where_a_person_is_asked(stn: Stn, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created", "run_started", status=RunStatus.WAITING_APPROVAL)
    entered = scheduler.commit("run_1", "state_entered", step_id="s1")
    entered.data.update(stateName="ask", stateType="operation")
    asked = scheduler.commit("run_1", "approval_requested", step_id="s1")
    asked.data.update(approvalId="appr_1", message="May it?")
    done = await stn("run", "start", "triage", "--wait", "--no-block-on-approval")
    assert done.code == 5, done.err
    assert "WAITING_APPROVAL" in done.out


async def test_control_commands_reach_the_scheduler_with_their_reason(stn: Stn, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    for command, subject in (
        ("pause", subjects.RUN_PAUSE),
        ("resume", subjects.RUN_RESUME),
        ("cancel", subjects.RUN_CANCEL),
    ):
        done = await stn("run", command, "run_1", "--reason", "lunch")
        assert done.code == 0, done.err
        assert scheduler.last(subject).reason == "lunch"
    done = await stn("run", "signal", "run_1", "go", "--payload", "-", "--id", "sig_1", stdin=b'{"n": 1}')
    assert done.code == 0, done.err
    request = scheduler.last(subjects.RUN_SIGNAL)
    assert (request.name, request.payload, request.id) == ("go", {"n": 1}, "sig_1")


@pytest.mark.parametrize(
    ("arguments", "columns"),
    [
        (("workflow", "list"), "no workflows"),
        (("workflow", "versions", "triage"), "no versions"),
        (("workflow", "show", "triage"), "triage"),
        (("run", "list", "--status", "running", "--label", "a=b"), "no runs"),
        (("run", "show", "run_1", "--context"), "context"),
        (("run", "steps", "run_1"), "no steps yet"),
        (("run", "events", "run_1", "--type", "run_created"), "run_created"),
        (("approval", "list"), "nothing to approve"),
        (("approval", "list", "--mine", "--all"), "nothing to approve"),
        (("agent", "list"), "checker"),
        (("agent", "show", "fixer", "-e", "prod"), "scripted"),
        (("workflow", "disable", "triage"), "disabled"),
        (("workflow", "enable", "triage"), "active"),
        (("workflow", "rollback", "triage", "1"), "triage"),
    ],
)
async def test_every_answer_comes_as_a_table_and_as_json(
    stn: Stn,
    scheduler: FakeScheduler,
    arguments: tuple[str, ...],
    columns: str,
) -> None:
    scheduler.add_run("run_1", "run_created")
    as_table = await stn(*arguments)
    assert as_table.code == 0, as_table.err
    assert columns in as_table.out
    as_json = await stn(*arguments, "-o", "json")
    assert as_json.code == 0, as_json.err
    assert isinstance(as_json.json(), dict)


async def test_the_inbox_asks_for_what_the_person_may_decide(stn: Stn, scheduler: FakeScheduler) -> None:
    await stn("approval", "list", "--mine")
    query = scheduler.last(subjects.INBOX_LIST)
    assert (query.mine, query.status) == (True, "PENDING")
    assert (query.principal.user, query.principal.teams) == ("alice", ("sre", "web"))


@pytest.mark.parametrize("target", ["appr_1", "run_1"])
async def test_a_decision_is_on_what_was_shown(stn: Stn, scheduler: FakeScheduler, target: str) -> None:
    shown = approval("appr_1", "run_1")
    scheduler.answers[subjects.INBOX_LIST] = lambda _request: page(shown)
    done = await stn("approval", "approve", target, "-m", "go ahead")
    assert done.code == 0, done.err
    assert "Restart the pods?" in done.out
    assert "pods: 3" in done.out
    request = scheduler.last(subjects.INBOX_DECIDE)
    assert (request.run_id, request.approval_id, request.decision) == ("run_1", "appr_1", "approve")
    assert (request.comment, request.summary_digest) == ("go ahead", shown.summary_digest)
    assert request.principal.user == "alice"


async def test_a_run_with_two_open_approvals_needs_the_approvals_name(stn: Stn, scheduler: FakeScheduler) -> None:
    scheduler.answers[subjects.INBOX_LIST] = lambda _request: page(
        approval("appr_1", "run_1"), approval("appr_2", "run_1")
    )
    done = await stn("approval", "reject", "run_1")
    assert done.code == 1
    assert "appr_1, appr_2" in done.err


async def test_who_may_not_decide_is_told_who_may(stn: Stn, scheduler: FakeScheduler) -> None:
    def no(_request: object) -> object:
        raise refuse(403, "not_an_approver", "alice may not decide; user:bob may", approvers=["user:bob"])

    scheduler.answers[subjects.INBOX_LIST] = lambda _request: page(approval("appr_1", "run_1"))
    scheduler.answers[subjects.INBOX_DECIDE] = no
    done = await stn("approval", "approve", "appr_1")
    assert done.code == 1
    assert "user:bob may [403 not_an_approver]" in done.err


async def test_apply_updates_what_exists_and_creates_what_does_not(
    stn: Stn,
    scheduler: FakeScheduler,
    tmp_path: Path,
) -> None:
    def update(request: Any) -> object:
        if request.workflow_id == "new":
            raise refuse(404, "workflow_not_found", "no such workflow")
        return workflow(request.workflow_id)

    scheduler.answers[subjects.WORKFLOW_UPDATE] = update
    for name in ("old", "new"):
        (tmp_path / f"{name}.workflow.yaml").write_text(f"id: {name}\nstates: []\n")
    done = await stn("workflow", "apply", str(tmp_path))
    assert done.code == 0, done.err
    assert scheduler.last(subjects.WORKFLOW_UPDATE).workflow_id == "old"
    assert scheduler.last(subjects.WORKFLOW_CREATE).source == b"id: new\nstates: []\n"


async def test_an_invalid_file_is_shown_with_its_lines_and_the_others_are_applied(
    stn: Stn,
    scheduler: FakeScheduler,
    tmp_path: Path,
) -> None:
    def update(request: Any) -> object:
        if request.workflow_id == "bad":
            problem = Problem("unknown_field", "/states/0/nxt", "there is no field nxt", "did you mean next?")
            raise refuse(400, "definition_invalid", "1 problem", errors=[problem])
        return workflow(request.workflow_id)

    scheduler.answers[subjects.WORKFLOW_UPDATE] = update
    (tmp_path / "bad.workflow.yaml").write_text("id: bad\nstates:\n  - name: a\n    nxt: b\n")
    (tmp_path / "good.workflow.yaml").write_text("id: good\nstates: []\n")
    done = await stn("workflow", "apply", str(tmp_path))
    assert done.code == 1
    assert "unknown_field at /states/0/nxt (line 4): there is no field nxt" in done.out
    assert "did you mean next?" in done.out
    assert "good is at version 1" in done.out
    as_json = await stn("workflow", "apply", str(tmp_path), "-o", "json")
    assert [item["applied"] for item in as_json.json()["items"]] == [False, True]


async def test_validate_asks_station_and_without_one_judges_by_itself(
    stn: Stn,
    scheduler: FakeScheduler,
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.workflow.yaml"
    file.write_text("id: x\nname: X\nversion: 1\nstates:\n  - name: a\n    type: inject\n    data: {}\n    nxt: b\n")
    note = Problem("schema_optional", "/states/0/data", "it fits if it is complete", "say what is required")
    scheduler.answers[subjects.WORKFLOW_VALIDATE] = lambda _request: ValidationResult(valid=True, notes=(note,))
    asked = await stn("workflow", "validate", str(file))
    assert asked.code == 0
    assert "note: " in asked.out
    assert "schema_optional at /states/0/data (line 7): it fits if it is complete" in asked.out
    done = await stn("workflow", "validate", str(file), "--url", "http://127.0.0.1:1")
    assert done.code == 1
    assert "checked here, without its agents" in done.err
    assert "/states/0/nxt (line 8)" in done.out


async def test_nobody_at_the_address(stn: Stn) -> None:
    done = await stn("run", "list", "--url", "http://127.0.0.1:1")
    assert done.code == 6
    assert done.err.startswith("error: no Station answers at http://127.0.0.1:1 (connection refused)\n")
    assert "stn up" in done.err


async def test_the_command_is_there_by_its_module_too() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "station.cli", "version", "--short", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert (process.returncode, out.decode().strip()) == (0, version("station-cli"))


async def test_usage_is_exit_code_2(stn: Stn) -> None:
    for arguments in (("run", "start"), ("run", "start", "x", "--input", "{"), ("run", "nonsense"), ("--nonsense",)):
        assert (await stn(*arguments)).code == 2


async def test_a_run_view_shows_why_it_failed(stn: Stn, scheduler: FakeScheduler) -> None:
    failed = {"type": "timeout", "message": "nobody decided", "retryable": False}
    view = msgspec.convert(
        msgspec.to_builtins(run_view("run_1", status=RunStatus.FAILED)) | {"error": failed}, type=RunView
    )
    scheduler.answers[subjects.QUERY_RUN] = lambda _request: view
    done = await stn("run", "show", "run_1")
    assert "timeout: nobody decided" in done.out


def page(*items: ApprovalView) -> ApprovalPage:
    return ApprovalPage(items=items, next_cursor=None, total=len(items))
