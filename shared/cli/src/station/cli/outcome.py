"""How a run ended, as an exit code and as words."""

from datetime import datetime

from station.cli import errors
from station.cli.client import Api
from station.cli.inputs import segment
from station.cli.live import Watcher, waits_for_a_person
from station.cli.output import Output, duration, local_time, pretty, status_text, usage_text
from station.contracts.runs import RunView
from station.contracts.statuses import RunStatus

EXIT_CODES = {
    RunStatus.COMPLETED: 0,
    RunStatus.FAILED: errors.FAILED,
    RunStatus.CANCELLED: errors.CANCELLED,
    RunStatus.TIMED_OUT: errors.TIMED_OUT,
}


def await_outcome(api: Api, run_id: str, *, block_on_approval: bool, quiet: bool, agents: bool = True) -> RunView:
    """Follow the run to its end; with ``block_on_approval`` off, only until nothing goes on without a person."""
    Watcher(api, run_id, quiet=quiet, agents=agents).until(None if block_on_approval else waits_for_a_person)
    return api.get(f"/workflow-runs/{segment(run_id)}", RunView)


def exit_code(run: RunView) -> int:
    """What a script gets; a run that has not ended waits for a person."""
    return EXIT_CODES.get(run.status, errors.WAITS_FOR_A_PERSON)


def show_run(out: Output, run: RunView, *, with_context: bool = False) -> None:
    """A run for a person."""
    failure = None if run.error is None else f"{run.error.type.value}: {run.error.message}"
    out.fields(
        [
            ("run", run.id),
            ("workflow", f"{run.workflow_id} (version {run.version})"),
            ("status", status_text(run.status.value)),
            ("waits for", run.waiting_for),
            ("current", ", ".join(run.current_states)),
            ("error", failure),
            ("environment", run.environment),
            ("used", usage_text(run.usage)),
            ("labels", ", ".join(f"{name}={value}" for name, value in run.labels.items())),
            ("started by", run.started_by),
            ("created", local_time(run.created_at)),
            ("ended", local_time(run.completed_at)),
            ("took", _took(run)),
            ("deadline", local_time(run.deadline_at)),
            ("input", pretty(run.input) if run.input else None),
            ("context", pretty(run.context) if with_context else None),
            ("output", None if run.output is None else pretty(run.output)),
        ]
    )


def _took(run: RunView) -> str:
    if run.completed_at is None:
        return ""
    start, end = datetime.fromisoformat(run.created_at), datetime.fromisoformat(run.completed_at)
    return duration((end - start).total_seconds() * 1000)
