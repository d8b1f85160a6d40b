"""The runner's figures."""

from station.runtime.metrics import counter, gauge, histogram

STEPS = counter("runner_steps_total", "Attempts that ended here, by how.", ["executor", "status", "error_type"])
SECONDS = histogram("runner_step_seconds", "From the claim to the end of an attempt.", ["executor"])
RUNNING = gauge("runner_steps_running", "Attempts that are being executed now.")
HELD = gauge("runner_steps_held", "Attempts that are claimed and not yet reported.")
CLAIMS = counter("runner_claims_total", "Answers to claims.", ["verdict"])
REPORTS = counter("runner_reports_total", "Answers to reported results.", ["verdict"])
SPOOLED = counter("runner_spooled_total", "Results written to the spool.")
UNSPOOLED = counter("runner_unspooled_total", "Results reported from memory alone: the spool did not take them.")
SPOOL_DEPTH = gauge("runner_spool_depth", "Results on disk that the scheduler has not confirmed.")
LOST = counter("runner_steps_lost_total", "Attempts stopped because they were no longer this runner's.", ["cause"])
RELEASED = counter("runner_steps_released_total", "Attempts given back unfinished when the runner stopped.")
POISON = counter("runner_tasks_undecodable_total", "Tasks that nobody can use: kept as dead letters.")
RETRIES = counter("runner_scheduler_retries_total", "Requests to the scheduler that had to be made again.")
AGENTS = gauge("runner_agents", "Agents that are loaded.")
PROBLEMS = gauge("runner_agent_problems", "Files of agents with a problem.")
UNTOLD = counter("runner_progress_dropped_total", "Messages about what agents do that could not be sent.")
