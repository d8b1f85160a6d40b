"""`stn run`: start runs, look at them, and steer them."""

import sys
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from station.cli import errors
from station.cli.errors import CommandError, RefusedRequest
from station.cli.inputs import input_pairs, json_argument, label_pairs, object_argument, segment
from station.cli.options import Session, connected
from station.cli.output import agent_text, compact, duration, local_time, status_text, usage_text
from station.contracts.runs import RunPage, RunView, SignalAccepted, StepPage, StepView

app = typer.Typer(no_args_is_help=True, help="Runs of workflows.")
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept in the run's history.")]
ShowAgents = Annotated[bool, typer.Option("--progress/--no-progress", help="Whether to show what agents say.")]
Limit = Annotated[int, typer.Option(min=1, max=200)]


@app.command("start")
@connected
def start(
    session: Session,
    *,
    workflow: str,
    input_text: Annotated[str | None, typer.Option("--input", help="The input: JSON, @file, or - for stdin.")] = None,
    pairs: Annotated[list[str] | None, typer.Option("-i", metavar="KEY=VALUE", help="One member of the input.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Where its agents live.")] = None,
    version: Annotated[int | None, typer.Option("--version", help="A revision other than the newest.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Repeatable.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code is the outcome.")] = False,
    watch_it: Annotated[bool, typer.Option("--watch", help="As --wait, and show what happens.")] = False,
    block_on_approval: Annotated[
        bool, typer.Option("--block-on-approval/--no-block-on-approval", help="Whether waiting includes people.")
    ] = True,
    progress: ShowAgents = True,
    idempotency_key: Annotated[str | None, typer.Option("--idempotency-key", help="Same key, same run.")] = None,
) -> None:
    """Start a run.

    Exit codes with --wait or --watch: 0 completed, 1 failed, 2 the request was refused, 3 cancelled, 4 timed out,
    5 waits for a person (with --no-block-on-approval), 6 no Station answers.
    """
    given = object_argument("--input", input_text) | input_pairs(pairs or ())
    body: dict[str, Any] = {"workflowId": workflow, "input": given, "labels": label_pairs(label or ())}
    body |= {name: value for name, value in (("environment", environment), ("version", version)) if value is not None}
    run = _started(session, body, idempotency_key)
    if not (wait or watch_it):
        _show(session, run)
        return
    if not session.out.is_json:
        session.out.line(f"started {run.id}", style="dim")
    quiet = not watch_it or session.out.is_json
    _finish(session, run.id, quiet=quiet, block_on_approval=block_on_approval, agents=progress)


@app.command("list")
@connected
def list_runs(
    session: Session,
    *,
    workflow: Annotated[str | None, typer.Option("--workflow", "-w")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Such as RUNNING or WAITING_APPROVAL.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="KEY=VALUE")] = None,
    limit: Limit = 50,
) -> None:
    """List runs, the newest first."""
    params = {
        "workflowId": workflow,
        "status": status.upper() if status else None,
        "label": label,
        "limit": limit,
    }
    page = session.api.get("/workflow-runs", RunPage, params)
    if session.out.is_json:
        session.out.answer(page)
        return
    rows = [
        (
            r.id,
            r.workflow_id,
            status_text(r.status.value),
            ", ".join(r.current_states),
            local_time(r.created_at),
            r.started_by,
        )
        for r in page.items
    ]
    session.out.table(("RUN", "WORKFLOW", "STATUS", "CURRENT", "CREATED", "STARTED BY"), rows, empty="no runs")
    if page.total > len(page.items):
        session.out.line(f"{len(page.items)} of {page.total}", style="dim")


@app.command("show")
@connected
def show(
    session: Session,
    *,
    run_id: RunId,
    context: Annotated[bool, typer.Option("--context", help="The whole context, too.")] = False,
) -> None:
    """Show a run: status, what it waits for, input, output."""
    _show(session, session.api.get(f"/workflow-runs/{segment(run_id)}", RunView), with_context=context)


@app.command("steps")
@connected
def steps(session: Session, run_id: RunId) -> None:
    """List every attempt of every step."""
    found: list[StepView] = []
    cursor: str | None = None
    while True:
        page = session.api.get(f"/workflow-runs/{segment(run_id)}/steps", StepPage, {"limit": 200, "cursor": cursor})
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    if session.out.is_json:
        session.out.answer({"items": found, "nextCursor": None, "total": len(found)})
        return
    columns = ("STATE", "IN", "ACTION", "AGENT", "TRY", "STATUS", "STARTED", "TOOK", "USED", "RESULT")
    session.out.table(columns, map(_step_row, found), empty="no steps yet")


@app.command("events")
@connected
def events(
    session: Session,
    *,
    run_id: RunId,
    after: Annotated[int, typer.Option(min=0, help="Only events with a larger number.")] = 0,
    kind: Annotated[str | None, typer.Option("--type", help="Such as step_failed.")] = None,
) -> None:
    """List what happened, in order."""
    from station.cli.stream import stored

    found = list(stored(session.api, run_id, after, kind))
    if session.out.is_json:
        session.out.answer({"items": found, "nextCursor": None, "total": len(found)})
        return
    rows = [(e.seq, e.at, e.type, (e.step_id or "")[:8], e.actor, compact(e.data)[:200]) for e in found]
    session.out.table(("SEQ", "AT", "TYPE", "STEP", "ACTOR", "DATA"), rows, empty="no events")


@app.command("watch")
@connected
def watch(session: Session, run_id: RunId, *, progress: ShowAgents = True) -> None:
    """Show a run while it goes on, and what its agents say; ends with it.

    The exit code is the outcome, as of `run start --wait`. With -o json every event is one line of JSON, and what
    agents say is left out.
    """
    if not session.out.is_json:
        _finish(session, run_id, quiet=False, block_on_approval=True, agents=progress)
    from station.cli.outcome import exit_code

    _print_events(session, run_id)
    raise typer.Exit(exit_code(session.api.get(f"/workflow-runs/{segment(run_id)}", RunView)))


@app.command("pause")
@connected
def pause(session: Session, run_id: RunId, reason: Reason = None) -> None:
    """Hold a run: what executes is finished, nothing new begins."""
    _control(session, run_id, "pause", reason)


@app.command("resume")
@connected
def resume(session: Session, run_id: RunId, reason: Reason = None) -> None:
    """Let a paused run go on."""
    _control(session, run_id, "resume", reason)


@app.command("cancel")
@connected
def cancel(session: Session, run_id: RunId, reason: Reason = None) -> None:
    """End a run; what executes is told to stop."""
    _control(session, run_id, "cancel", reason)


@app.command("signal")
@connected
def signal(
    session: Session,
    *,
    run_id: RunId,
    name: Annotated[str, typer.Argument(help="The signal that the run waits for, or will.")],
    payload: Annotated[str | None, typer.Option("--payload", help="JSON, @file, or - for stdin.")] = None,
    signal_id: Annotated[str | None, typer.Option("--id", help="The same id is taken once.")] = None,
) -> None:
    """Deliver a signal; one that comes early is kept."""
    body: dict[str, Any] = {"name": name, "payload": json_argument("--payload", payload)}
    if signal_id is not None:
        body["id"] = signal_id
    accepted = session.api.post(f"/workflow-runs/{segment(run_id)}/signals", SignalAccepted, body)
    if session.out.is_json:
        session.out.answer(accepted)
    else:
        again = " (it was there already)" if accepted.duplicate else ""
        session.out.line(f"signal {accepted.name} taken as {accepted.id}{again}", style="green")


def _started(session: Session, body: dict[str, Any], key: str | None) -> RunView:
    try:
        return session.api.post("/workflow-runs", RunView, body, key=key)
    except RefusedRequest as refused:
        # 1 is the run's own failure; a script must be able to tell that there is no run.
        refused.exit_code = errors.USAGE
        raise


def _control(session: Session, run_id: str, command: str, reason: str | None) -> None:
    body = {} if reason is None else {"reason": reason}
    _show(session, session.api.post(f"/workflow-runs/{segment(run_id)}/{command}", RunView, body))


def _show(session: Session, run: RunView, *, with_context: bool = False) -> None:
    from station.cli.outcome import show_run

    if session.out.is_json:
        session.out.answer(run)
    else:
        show_run(session.out, run, with_context=with_context)


def _finish(session: Session, run_id: str, *, quiet: bool, block_on_approval: bool, agents: bool) -> NoReturn:
    from station.cli.outcome import await_outcome, exit_code

    run = await_outcome(session.api, run_id, block_on_approval=block_on_approval, quiet=quiet, agents=agents)
    _show(session, run)
    raise typer.Exit(exit_code(run))


def _print_events(session: Session, run_id: str) -> None:
    from station.cli.stream import follow

    def lost(_error: CommandError) -> None:
        """Programs read stdout only; the next event comes when there is one."""

    for event in follow(session.api, run_id, lost=lost):
        sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
        sys.stdout.flush()


def _step_row(step: StepView) -> tuple[object, ...]:
    place = " / ".join(str(element[1]) for element in step.branch_path)
    visit = f" (visit {step.visit})" if step.visit > 1 else ""
    result = "" if step.output is None else compact(step.output)
    if step.error is not None:
        result = f"{step.error.type.value}: {step.error.message}"
    started, took = local_time(step.started_at), duration(step.duration_ms)
    action = step.action or step.state_type
    return (
        step.state_name + visit,
        place,
        action,
        agent_text(step.agent),
        step.attempt,
        status_text(step.status.value),
        started,
        took,
        usage_text(step.usage),
        result[:120],
    )
