"""What approval-service counts."""

from station.runtime import metrics

ANNOUNCED = metrics.counter("approvals_announced_total", "Approvals that were announced to the people asked.")
DECISIONS = metrics.counter("approval_decisions_total", "Decisions that the scheduler took.", ["decision"])
REFUSALS = metrics.counter("approval_refusals_total", "Decisions that were refused, by the refusal's code.", ["code"])
UNDECODABLE = metrics.counter("approval_tasks_undecodable_total", "Tasks that nobody can use: kept as dead letters.")
