"""Which subject is answered by what: the scheduler's side of ``station.contracts.subjects``."""

from __future__ import annotations

import msgspec

from station.contracts import agents, approvals, health, runs, subjects, work, workflows
from station.runtime.rpc import Endpoint
from station.scheduler.handlers.approvals import Approvals
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.health import Doctor
from station.scheduler.handlers.letters import Letters
from station.scheduler.handlers.queries import Queries
from station.scheduler.handlers.runs import RunCommands
from station.scheduler.handlers.spending import Spending
from station.scheduler.handlers.steps import StepRequests
from station.scheduler.handlers.versions import Versions
from station.scheduler.handlers.workflows import Workflows


class Answerers(msgspec.Struct, frozen=True, kw_only=True):
    """Those who answer."""

    runs: RunCommands
    workflows: Workflows
    steps: StepRequests
    approvals: Approvals
    queries: Queries
    catalog: Catalog
    versions: Versions
    spending: Spending
    doctor: Doctor
    letters: Letters


def endpoints(by: Answerers) -> tuple[Endpoint, ...]:
    """Give every endpoint."""
    return (
        Endpoint(subjects.RUN_START, runs.StartRun, by.runs.start),
        Endpoint(subjects.RUN_PAUSE, runs.ControlRun, by.runs.pause),
        Endpoint(subjects.RUN_RESUME, runs.ControlRun, by.runs.resume),
        Endpoint(subjects.RUN_CANCEL, runs.ControlRun, by.runs.cancel),
        Endpoint(subjects.RUN_SIGNAL, runs.SignalRun, by.runs.signal),
        Endpoint(subjects.WORKFLOW_CREATE, workflows.CreateWorkflow, by.workflows.create),
        Endpoint(subjects.WORKFLOW_UPDATE, workflows.UpdateWorkflow, by.workflows.update),
        Endpoint(subjects.WORKFLOW_DELETE, workflows.DeleteWorkflow, by.workflows.delete),
        Endpoint(subjects.WORKFLOW_VALIDATE, workflows.ValidateWorkflow, by.workflows.validate),
        Endpoint(subjects.WORKFLOW_ROLLBACK, workflows.RollbackWorkflow, by.workflows.rollback),
        Endpoint(subjects.WORKFLOW_SET_STATUS, workflows.SetWorkflowStatus, by.workflows.set_status),
        Endpoint(subjects.QUERY_RUN, runs.GetRun, by.queries.run),
        Endpoint(subjects.QUERY_RUNS, runs.ListRuns, by.queries.runs),
        Endpoint(subjects.QUERY_STEPS, runs.ListSteps, by.queries.steps),
        Endpoint(subjects.QUERY_EVENTS, runs.ListEvents, by.queries.events),
        Endpoint(subjects.QUERY_WORKFLOW, workflows.GetWorkflow, by.workflows.get),
        Endpoint(subjects.QUERY_WORKFLOWS, workflows.ListWorkflows, by.workflows.page),
        Endpoint(subjects.QUERY_VERSIONS, workflows.ListVersions, by.workflows.versions),
        Endpoint(subjects.QUERY_APPROVALS, approvals.ListApprovals, by.approvals.page),
        Endpoint(subjects.QUERY_APPROVAL, approvals.GetApproval, by.approvals.get),
        Endpoint(subjects.QUERY_AGENTS, agents.ListAgents, by.catalog.list),
        Endpoint(subjects.QUERY_HEALTH, health.GetHealth, by.queries.health),
        Endpoint(subjects.QUERY_DOCTOR, health.RunDoctor, by.doctor.examine),
        Endpoint(subjects.STEP_CLAIM, work.ClaimSteps, by.steps.claim),
        Endpoint(subjects.STEP_HEARTBEAT, work.Heartbeat, by.steps.heartbeat),
        Endpoint(subjects.STEP_REPORT, work.ReportResults, by.steps.report),
        Endpoint(subjects.STEP_RELEASE, work.ReleaseSteps, by.steps.release),
        Endpoint(subjects.STEP_SPEND, work.SpendStep, by.spending.spend),
        Endpoint(subjects.RUNNER_ANNOUNCE, agents.AnnounceRunner, by.steps.announce),
        Endpoint(subjects.RUNNER_KEEP, agents.KeepVersions, by.versions.keep),
        Endpoint(subjects.RUNNER_VERSION, agents.GetVersion, by.versions.get),
        Endpoint(subjects.LETTER_KEEP, work.KeepLetter, by.letters.keep),
        Endpoint(subjects.APPROVAL_DECIDE, approvals.DecideApproval, by.approvals.decide),
    )
