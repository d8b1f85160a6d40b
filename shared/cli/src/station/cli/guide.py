"""Leads through the demo: begins a run or goes on with an earlier one, explains its approval, tells its end."""

import shlex
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from rich.text import Text

from station.cli.client import Api
from station.cli.commands.approval import decide, find, show_approval
from station.cli.errors import CommandError, RefusedRequest, Unreachable
from station.cli.live import Watcher, waits_for_a_person
from station.cli.options import DEFAULT_URL, Session, default_user
from station.cli.outcome import exit_code, show_run
from station.cli.output import Format, Output, note, plain
from station.cli.progress import Progress
from station.cli.supervisor.settings import LocalSettings
from station.contracts.approvals import ApprovalView
from station.contracts.runs import RunPage, RunView
from station.contracts.statuses import ApprovalStatus, RunStatus

T = TypeVar("T")

WORKFLOW = "host-triage"
LABELS = {"demo": "true"}
ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT})
NOT_YET = frozenset({"workflow_not_found", "agent_not_found", "environment_not_found", "scheduler_unavailable"})
"""Refusals of the first seconds: files are still being read."""
PATIENCE_SECONDS, PAUSE_SECONDS = 30.0, 0.2
REPORT_BYTES = 64 * 1024
SUMMARY_LINES = 12


class Stopped(Exception):
    """Somebody pressed Ctrl-C; what is going on is left as it is."""


class Guide:
    """One walk through the demo, as a client of the API."""

    def __init__(self, settings: LocalSettings, *, approve: bool, fresh: bool) -> None:
        """``approve``: decide for the person. ``fresh``: do not go on with an earlier run."""
        self.thread: threading.Thread | None = None
        self.interrupted_run: str | None = None
        self._settings = settings
        self._approve = approve
        self._fresh = fresh
        self._stopping = threading.Event()
        self._session = Session(Api(settings.url, default_user()), Output(Format.TABLE))
        script = Path(sysconfig.get_path("scripts")) / "stn"
        self.program = shlex.quote(_near(script)) if script.exists() else "stn"

    def stop(self) -> None:
        """Come to an end as soon as the connection breaks."""
        self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait until the last words are out and the terminal is as it was."""
        if self.thread is not None:
            self.thread.join(seconds)
        self._session.api.close()

    def lead(self) -> int:
        """The run's outcome as exit code."""
        try:
            return self._lead()
        except (Stopped, CommandError):
            if self._stopping.is_set():
                return 0
            raise

    def _lead(self) -> int:
        run = self._unfinished() or self._started()
        self.interrupted_run = run.id
        watcher = Watcher(self._session.api, run.id, lost=self._lost)
        answered = set[str]()

        def asks(progress: Progress) -> bool:
            return waits_for_a_person(progress) and not answered.issuperset(progress.open_approvals)

        while watcher.until(asks).open_approvals:
            for approval_id in set(watcher.progress.open_approvals) - answered:
                answered.add(approval_id)
                self._ask(find(self._session, approval_id))
        return self._tell_end(run.id)

    def _unfinished(self) -> RunView | None:
        """An earlier demo's run that has not ended; with ``fresh`` it is cancelled."""
        page = self._patiently(lambda: self._api.get("/workflow-runs", RunPage, {"workflowId": WORKFLOW, "limit": 50}))
        for run in page.items:
            if run.status in ENDED or run.labels.get("demo") != LABELS["demo"]:
                continue
            path = f"/workflow-runs/{run.id}"
            if self._fresh:
                self._api.post(f"{path}/cancel", RunView, {"reason": "stn demo --fresh"})
                note(f"cancelled run {run.id} of an earlier demo")
                continue
            note(f"going on with run {run.id}, which an earlier demo left unfinished (--fresh begins anew)", "yellow")
            if run.status is RunStatus.PAUSED:
                self._api.post(f"{path}/resume", RunView, {})
            return self._api.get(path, RunView)
        return None

    def _started(self) -> RunView:
        port = self._settings.http_port
        body = {"workflowId": WORKFLOW, "input": {"targets": [{"host": "127.0.0.1", "port": port}]}, "labels": LABELS}
        return self._patiently(lambda: self._api.post("/workflow-runs", RunView, body))

    def _ask(self, approval: ApprovalView) -> None:
        if approval.status is not ApprovalStatus.PENDING:
            return  # it was decided before we came
        if self._approve:
            decide(self._session, approval, "approve", "stn demo --yes")
            note(f"approved {approval.id} (--yes)", style="green")
            return
        out = self._session.out
        out.line("")
        show_approval(out, approval, most_lines=SUMMARY_LINES)
        place = "" if self._settings.url == DEFAULT_URL else f" --url {self._settings.url}"
        address = f"{self._settings.url}/api/v1/workflow-runs/{approval.run_id}/approvals/{approval.id}/approve"
        out.line("\nThe run waits for you. In another terminal:", style="bold yellow")
        headers = f"-H 'content-type: application/json' -H 'X-Station-User: {default_user()}'"
        commands = (
            f"{self.program} approval show {approval.id}{place}",
            f"{self.program} approval approve {approval.id}{place}",
            f"{self.program} approval reject {approval.id}{place}",
            f"curl -X POST {address} {headers} -d '{{}}'",
        )
        for command in commands:
            out.console.print(Text(f"  {plain(command)}", style="cyan"), soft_wrap=True)
        out.line("Ctrl-C stops everything; the next `stn demo` goes on from here.\n", style="dim")

    def _tell_end(self, run_id: str) -> int:
        run = self._api.get(f"/workflow-runs/{run_id}", RunView)
        self.interrupted_run = None
        self._session.out.line("")
        show_run(self._session.out, run)
        report = _report(run)
        if report:
            self._session.out.line(f"\n{report}")
        return exit_code(run)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What ``ask`` answers, once the files of the environment have been read."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return ask()
            except RefusedRequest as refused:
                if refused.code not in NOT_YET or time.monotonic() > deadline:
                    raise
            if self._stopping.wait(PAUSE_SECONDS):
                raise Stopped

    def _lost(self, error: Unreachable) -> None:
        if self._stopping.is_set():
            raise Stopped from error

    @property
    def _api(self) -> Api:
        return self._session.api


def _near(path: Path) -> str:
    """As a person would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _report(run: RunView) -> str | None:
    """The text of the report that the run has written, if its output names one that can be read."""
    output: object = run.output
    path = cast("dict[str, object]", output).get("report") if isinstance(output, dict) else None
    if not isinstance(path, str):
        return None
    try:
        with Path(path).open("rb") as file:
            return file.read(REPORT_BYTES).decode(errors="replace")
    except OSError:
        return None
