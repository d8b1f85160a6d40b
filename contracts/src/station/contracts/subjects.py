"""Every subject and stream of the bus. Tokens are made of ``[A-Za-z0-9_-]`` only, so that ids never widen a subject."""

import re

TASKS_STREAM = "WORKFLOW_TASKS"
EVENTS_STREAM = "WORKFLOW_EVENTS"
TASKS_SUBJECTS = ("wf.task.>",)
EVENTS_SUBJECTS = ("wf.event.>",)

RUNNER_CONSUMER = "agent-runner"
RUNNER_FILTER = "wf.task.step.>"
APPROVAL_CONSUMER = "approval-service"
APPROVAL_FILTER = "wf.task.approval.>"
START_CONSUMER = "scheduler-run"
START_FILTER = "wf.task.run.*"
RESUME_CONSUMER = "scheduler-resume"
RESUME_FILTER = "wf.task.resume.>"

EVENTS_FILTER = "wf.event.>"

RUN_START = "wf.rpc.run.start"
RUN_PAUSE = "wf.rpc.run.pause"
RUN_RESUME = "wf.rpc.run.resume"
RUN_CANCEL = "wf.rpc.run.cancel"
RUN_SIGNAL = "wf.rpc.run.signal"

WORKFLOW_CREATE = "wf.rpc.workflow.create"
WORKFLOW_UPDATE = "wf.rpc.workflow.update"
WORKFLOW_DELETE = "wf.rpc.workflow.delete"
WORKFLOW_VALIDATE = "wf.rpc.workflow.validate"
WORKFLOW_ROLLBACK = "wf.rpc.workflow.rollback"
WORKFLOW_SET_STATUS = "wf.rpc.workflow.status"

QUERY_RUN = "wf.rpc.query.run"
QUERY_RUNS = "wf.rpc.query.runs"
QUERY_STEPS = "wf.rpc.query.steps"
QUERY_EVENTS = "wf.rpc.query.events"
QUERY_WORKFLOW = "wf.rpc.query.workflow"
QUERY_WORKFLOWS = "wf.rpc.query.workflows"
QUERY_VERSIONS = "wf.rpc.query.versions"
QUERY_APPROVALS = "wf.rpc.query.approvals"
QUERY_APPROVAL = "wf.rpc.query.approval"
QUERY_AGENTS = "wf.rpc.query.agents"
QUERY_HEALTH = "wf.rpc.query.health"
QUERY_DOCTOR = "wf.rpc.query.doctor"

STEP_CLAIM = "wf.rpc.step.claim"
STEP_HEARTBEAT = "wf.rpc.step.heartbeat"
STEP_REPORT = "wf.rpc.step.report"
STEP_RELEASE = "wf.rpc.step.release"
STEP_SPEND = "wf.rpc.step.spend"
RUNNER_ANNOUNCE = "wf.rpc.runner.announce"
LETTER_KEEP = "wf.rpc.letter.keep"
RUNNER_KEEP = "wf.rpc.runner.keep"
RUNNER_VERSION = "wf.rpc.runner.version"

APPROVAL_DECIDE = "wf.rpc.approval.decide"
"""Answered by the scheduler; only approval-service may ask."""
INBOX_LIST = "wf.rpc.inbox.list"
INBOX_DECIDE = "wf.rpc.inbox.decide"
INBOX_HEALTH = "wf.rpc.inbox.health"

CANCEL_FILTER = "wf.control.cancel.>"
STARTED_FILTER = "wf.control.started.*"
PROGRESS_FILTER = "wf.progress.run.*"
REMOTE_AGENTS = "agent.>"
"""Where programs outside answer as agents; ours to ask, theirs to name."""
REMOTE_REPLY = "_INBOX_agent-runner.remote."
"""With an id behind it: where they send an answer, minutes or hours later. The runner reads its whole inbox."""
REMOTE_REPLIES = REMOTE_REPLY + ">"
CANCEL = "cancel"
"""Last token of where a program is told that nobody waits for its answer any more."""

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


def is_token(text: str) -> bool:
    """Whether the text may stand as one token of a subject (and so as a run id)."""
    return TOKEN.match(text) is not None


def task_step(run_id: str, step_id: str, attempt: int) -> str:
    """Where the work of one attempt is handed out."""
    return f"wf.task.step.{run_id}.{step_id}.{attempt}"


def task_approval(run_id: str, step_id: str) -> str:
    """Where approval-service learns of a new approval."""
    return f"wf.task.approval.{run_id}.{step_id}"


def task_run(run_id: str) -> str:
    """Where another system starts a run."""
    return f"wf.task.run.{run_id}"


def task_resume(run_id: str, signal_id: str | None = None) -> str:
    """Where another system signals a run or sends a decision; with an id of its own, one need not wait for another."""
    return f"wf.task.resume.{run_id}" if signal_id is None else f"wf.task.resume.{run_id}.{signal_id}"


def event(run_id: str, step_id: str | None) -> str:
    """Where a fact of a run, or of one of its steps, is told."""
    return f"wf.event.run.{run_id}" if step_id is None else f"wf.event.step.{run_id}.{step_id}"


def events_of(run_id: str) -> tuple[str, str]:
    """The two filters that together see every event of one run."""
    return f"wf.event.run.{run_id}", f"wf.event.step.{run_id}.*"


def control_started(service: str) -> str:
    """Where a service says that it has started: whoever waits for an answer of the one before waits in vain."""
    return f"wf.control.started.{service}"


def control_cancel(run_id: str) -> str:
    """Where runners learn that attempts of a run must stop."""
    return f"wf.control.cancel.{run_id}"


def progress(run_id: str) -> str:
    """Where runners tell what the agents of a run are doing."""
    return f"wf.progress.run.{run_id}"
