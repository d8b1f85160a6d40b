"""`stn workflow`: definitions and their revisions."""

from typing import Annotated, Any

import typer

from station.cli.documents import WorkflowFile, workflow_files
from station.cli.errors import RefusedRequest, Unreachable
from station.cli.inputs import segment
from station.cli.options import Session, connected
from station.cli.output import local_time, note, pretty, problem_lines, status_text
from station.contracts.problems import Problem
from station.contracts.workflows import ValidationResult, VersionPage, Workflow, WorkflowPage

app = typer.Typer(no_args_is_help=True, help="Workflow definitions.")
WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow's id.")]
Files = Annotated[list[str], typer.Argument(metavar="FILE|DIR", help="Workflow files, folders of them, or -.")]
Limit = Annotated[int, typer.Option(min=1, max=200)]


@app.command("apply")
@connected
def apply(session: Session, files: Files) -> None:
    """Create the workflows of these files, or make new revisions of them. Exit code 1 if any is refused."""
    results: list[dict[str, Any]] = []
    for file in workflow_files(files):
        try:
            workflow = _apply(session, file)
        except RefusedRequest as refused:
            if not refused.errors:
                refused.where = file.path
                raise
            results.append({"file": file.path, "applied": False, "errors": refused.errors})
            _show_problems(session, file, errors=refused.errors)
            continue
        warnings = workflow.validation.warnings
        results.append({"file": file.path, "applied": True, "workflow": workflow, "warnings": warnings})
        _show_problems(session, file, warnings=warnings, notes=workflow.validation.notes)
        if not session.out.is_json:
            session.out.line(f"{workflow.id} is at version {workflow.version}  ({file.path})", style="green")
    if session.out.is_json:
        session.out.answer({"items": results})
    if not all(result["applied"] for result in results):
        raise typer.Exit(1)


@app.command("validate")
@connected
def validate(session: Session, files: Files) -> None:
    """Check files and store nothing. Without a Station that answers, agents are not checked."""
    results: list[dict[str, Any]] = []
    alone = False
    for file in workflow_files(files):
        result = None if alone else _validated(session, file)
        if result is None:
            alone = True
            result = _validated_here(file)
        found = {"errors": result.errors, "warnings": result.warnings, "notes": result.notes}
        results.append({"file": file.path, "valid": result.valid, **found})
        _show_problems(session, file, **found)
        if not session.out.is_json and result.valid:
            session.out.line(f"{file.path} is valid", style="green")
    if session.out.is_json:
        session.out.answer({"items": results})
    if not all(result["valid"] for result in results):
        raise typer.Exit(1)


@app.command("list")
@connected
def list_workflows(
    session: Session,
    *,
    status: Annotated[str | None, typer.Option("--status", help="active or disabled.")] = None,
    search: Annotated[str | None, typer.Option("--search", help="A part of the id, name or description.")] = None,
    limit: Limit = 50,
) -> None:
    """List workflows."""
    page = session.api.get("/workflows", WorkflowPage, {"status": status, "search": search, "limit": limit})
    if session.out.is_json:
        session.out.answer(page)
        return
    rows = [
        (
            w.id,
            w.name,
            w.version,
            status_text(w.status),
            w.source,
            w.sync_status,
            _share(w.success_rate30d),
            local_time(w.last_run_at),
        )
        for w in page.items
    ]
    columns = ("WORKFLOW", "NAME", "VERSION", "STATUS", "SOURCE", "SYNC", "SUCCESS 30D", "LAST RUN")
    session.out.table(columns, rows, empty="no workflows; `stn workflow apply FILE` makes one")
    if page.total > len(page.items):
        session.out.line(f"{len(page.items)} of {page.total}", style="dim")


@app.command("show")
@connected
def show(
    session: Session,
    *,
    workflow_id: WorkflowId,
    version: Annotated[int | None, typer.Option("--version", help="A revision other than the newest.")] = None,
) -> None:
    """Show a workflow and its definition."""
    _show(
        session,
        session.api.get(f"/workflows/{segment(workflow_id)}", Workflow, {"version": version}),
        with_definition=True,
    )


@app.command("versions")
@connected
def versions(session: Session, workflow_id: WorkflowId, limit: Limit = 50) -> None:
    """List the revisions, the newest first."""
    page = session.api.get(f"/workflows/{segment(workflow_id)}/versions", VersionPage, {"limit": limit})
    if session.out.is_json:
        session.out.answer(page)
        return
    rows = [(v.version, v.version_label, v.digest[:12], local_time(v.created_at), v.created_by) for v in page.items]
    session.out.table(("VERSION", "LABEL", "DIGEST", "CREATED", "BY"), rows, empty="no versions")


@app.command("rollback")
@connected
def rollback(
    session: Session,
    *,
    workflow_id: WorkflowId,
    version: Annotated[int, typer.Argument(help="The revision to go back to.")],
) -> None:
    """Make a new revision with an old one's content."""
    _show(session, session.api.post(f"/workflows/{segment(workflow_id)}/rollback", Workflow, {"version": version}))


@app.command("enable")
@connected
def enable(session: Session, workflow_id: WorkflowId) -> None:
    """Let runs start again."""
    _show(session, session.api.post(f"/workflows/{segment(workflow_id)}/enable", Workflow))


@app.command("disable")
@connected
def disable(session: Session, workflow_id: WorkflowId) -> None:
    """Refuse new runs; those under way go on."""
    _show(session, session.api.post(f"/workflows/{segment(workflow_id)}/disable", Workflow))


@app.command("delete")
@connected
def delete(session: Session, workflow_id: WorkflowId) -> None:
    """Delete a workflow that has no runs."""
    session.api.delete(f"/workflows/{segment(workflow_id)}")
    if not session.out.is_json:
        session.out.line(f"{workflow_id} is deleted", style="green")


def _apply(session: Session, file: WorkflowFile) -> Workflow:
    workflow_id = file.workflow_id
    api, source, kind = session.api, file.source, file.content_type
    if workflow_id is None or not workflow_id.isprintable() or "/" in workflow_id:
        return api.send_document("POST", "/workflows", Workflow, source, kind)
    try:
        return api.send_document("PUT", f"/workflows/{segment(workflow_id)}", Workflow, source, kind)
    except RefusedRequest as refused:
        if refused.code != "workflow_not_found":
            raise
    return api.send_document("POST", "/workflows", Workflow, source, kind)


def _validated(session: Session, file: WorkflowFile) -> ValidationResult | None:
    """What Station says; None when none answers."""
    try:
        return session.api.send_document(
            "POST", "/workflows/validate", ValidationResult, file.source, file.content_type
        )
    except Unreachable as error:
        note(f"{error.what}: checked here, without its agents", style="yellow")
        return None


def _validated_here(file: WorkflowFile) -> ValidationResult:
    from station.core.loading import load

    loaded = load(file.source, content_type=file.content_type)
    return ValidationResult(valid=not loaded.errors, errors=loaded.errors, warnings=loaded.warnings, notes=loaded.notes)


def _show_problems(
    session: Session,
    file: WorkflowFile,
    *,
    errors: tuple[Problem, ...] = (),
    warnings: tuple[Problem, ...] = (),
    notes: tuple[Problem, ...] = (),
) -> None:
    if session.out.is_json:
        return
    for kind, style, problems in (
        ("error", "bold red", errors),
        ("warning", "yellow", warnings),
        ("note", "cyan", notes),
    ):
        for problem in problems:
            first, *rest = problem_lines(problem, file.line_of(problem.path))
            session.out.console.print(first.__class__.assemble((f"{kind}: ", style), f"{file.path}: ", first))
            for line in rest:
                session.out.console.print(line)


def _show(session: Session, workflow: Workflow, *, with_definition: bool = False) -> None:
    if session.out.is_json:
        session.out.answer(workflow)
        return
    warnings = "\n".join(
        f"{problem.code} at {problem.path}: {problem.message}" for problem in workflow.validation.warnings
    )
    session.out.fields(
        [
            ("workflow", workflow.id),
            ("name", workflow.name),
            ("description", workflow.description),
            (
                "version",
                f"{workflow.version} (label {workflow.version_label})" if workflow.version_label else workflow.version,
            ),
            ("status", status_text(workflow.status)),
            ("source", workflow.source),
            ("sync", None if workflow.sync_status == "not_applicable" else workflow.sync_status),
            ("updated", local_time(workflow.updated_at)),
            ("warnings", warnings),
            ("definition", pretty(workflow.definition) if with_definition else None),
        ]
    )


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.0%}"
