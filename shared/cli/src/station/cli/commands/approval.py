"""`stn approval`: see what people are asked, and decide it.

A decision sends the digest of the message and summary that this command has shown, so that nobody decides on
something else than what they saw.
"""

from typing import Annotated, Literal

import typer

from station.cli.errors import CommandError
from station.cli.inputs import segment
from station.cli.options import Session, connected
from station.cli.output import Output, local_time, plain, status_text
from station.contracts.approvals import ApprovalPage, ApprovalView
from station.contracts.statuses import ApprovalStatus

app = typer.Typer(no_args_is_help=True, help="Approvals: what people are asked.")
Decision = Literal["approve", "reject"]

Target = Annotated[
    str, typer.Argument(metavar="APPROVAL|RUN", help="An approval's id, or a run's with one open approval.")
]
Comment = Annotated[str | None, typer.Option("--comment", "-m", help="Why; kept with the decision.")]


@app.command("list")
@connected
def list_approvals(
    session: Session,
    *,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you may decide.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Those decided or closed, too.")] = False,
    run: Annotated[str | None, typer.Option("--run", help="Of one run, whatever their status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
) -> None:
    """List open approvals across runs."""
    if run is not None:
        page = session.api.get(f"/workflow-runs/{segment(run)}/approvals", ApprovalPage, {"limit": limit})
    else:
        status = None if everything else ApprovalStatus.PENDING.value
        params = {"mine": "true" if mine else None, "status": status, "limit": limit}
        page = session.api.get("/workflow-approvals", ApprovalPage, params)
    if session.out.is_json:
        session.out.answer(page)
        return
    rows = [
        (a.id, a.run_id, a.workflow_id, status_text(a.status.value), _who(a), local_time(a.deadline_at), a.message)
        for a in page.items
    ]
    columns = ("APPROVAL", "RUN", "WORKFLOW", "STATUS", "APPROVERS", "DEADLINE", "MESSAGE")
    session.out.table(columns, rows, empty="nothing to approve")
    if page.total > len(page.items):
        session.out.line(f"{len(page.items)} of {page.total}", style="dim")


@app.command("show")
@connected
def show(session: Session, target: Target) -> None:
    """Show one approval: message, summary, who may decide, what was decided."""
    approval = find(session, target)
    if session.out.is_json:
        session.out.answer(approval)
    else:
        show_approval(session.out, approval)


@app.command("approve")
@connected
def approve(session: Session, target: Target, comment: Comment = None) -> None:
    """Say yes."""
    _decide(session, target, "approve", comment)


@app.command("reject")
@connected
def reject(session: Session, target: Target, comment: Comment = None) -> None:
    """Say no: the workflow says what follows; without a word of it, the run is cancelled."""
    _decide(session, target, "reject", comment)


def decide(session: Session, approval: ApprovalView, decision: Decision, comment: str | None) -> ApprovalView:
    """Send the decision on exactly what ``approval`` shows."""
    body = {"comment": comment, "summaryDigest": approval.summary_digest}
    path = f"/workflow-runs/{approval.run_id}/approvals/{approval.id}/{decision}"
    return session.api.post(path, ApprovalView, body)


def show_approval(out: Output, approval: ApprovalView, *, most_lines: int | None = None) -> None:
    """The approval as a person needs to see it before deciding; ``most_lines`` shortens a long summary."""
    decisions = "\n".join(
        f"{d.decision} by {plain(d.by)} at {local_time(d.at)}" + (f": {d.comment}" if d.comment else "")
        for d in approval.decisions
    )
    out.fields(
        [
            ("approval", approval.id),
            ("run", f"{approval.run_id} ({approval.workflow_id}, {approval.state_name})"),
            ("status", status_text(approval.status.value)),
            ("message", approval.message),
            ("summary", None if approval.summary is None else summary_text(approval.summary, most_lines)),
            ("approvers", _who(approval)),
            ("needed", f"{approval.quorum} approvals" if approval.quorum > 1 else None),
            ("deadline", local_time(approval.deadline_at)),
            ("decisions", decisions),
        ]
    )


def summary_text(summary: object, most_lines: int | None = None) -> str:
    """Text as it is, anything else as YAML; says how much of it was left out."""
    import yaml

    text = (
        summary if isinstance(summary, str) else yaml.safe_dump(summary, sort_keys=False, allow_unicode=True, width=100)
    )
    lines = text.splitlines()
    left_out = len(lines) - most_lines if most_lines is not None else 0
    return "\n".join([*lines[:most_lines], f"… {left_out} more lines"] if left_out > 0 else lines)


def find(session: Session, target: str) -> ApprovalView:
    """The approval of that id, or the one open approval of that run."""
    if not target.startswith("appr_"):
        return _only_open(session, target)
    for status in (ApprovalStatus.PENDING.value, None):
        cursor: str | None = None
        while True:
            params = {"status": status, "limit": 200, "cursor": cursor}
            page = session.api.get("/workflow-approvals", ApprovalPage, params)
            for approval in page.items:
                if approval.id == target:
                    return approval
            cursor = page.next_cursor
            if cursor is None:
                break
    raise CommandError(f"there is no approval {target}", todo="`stn approval list --all` shows them")


def _only_open(session: Session, run_id: str) -> ApprovalView:
    page = session.api.get(f"/workflow-runs/{segment(run_id)}/approvals", ApprovalPage)
    pending = [approval for approval in page.items if approval.status is ApprovalStatus.PENDING]
    if len(pending) == 1:
        return pending[0]
    if not pending:
        raise CommandError(
            f"run {run_id} has no open approval", todo=f"`stn approval list --run {run_id}` shows all of them"
        )
    ids = ", ".join(approval.id for approval in pending)
    raise CommandError(
        f"run {run_id} has {len(pending)} open approvals", where=ids, todo="name the approval instead of the run"
    )


def _decide(session: Session, target: str, decision: Decision, comment: str | None) -> None:
    shown = find(session, target)
    if not session.out.is_json:
        show_approval(session.out, shown)
    decided = decide(session, shown, decision, comment)
    if session.out.is_json:
        session.out.answer(decided)
    elif decided.status is ApprovalStatus.PENDING:
        left = decided.quorum - sum(d.decision == "approve" for d in decided.decisions)
        session.out.line(f"noted; {left} more needed", style="yellow")
    else:
        session.out.line(decided.status.value.lower(), style="green" if decision == "approve" else "magenta")


def _who(approval: ApprovalView) -> str:
    return ", ".join(approval.approvers) or "anybody"
