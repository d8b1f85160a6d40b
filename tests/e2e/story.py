"""A run with everything in it, the people it needs, and the log of what its agents have done outside.

Every agent appends a line to one file, with O_APPEND, before it answers: so a repetition is seen, not inferred.
"""

import json
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from station.scheduler.doctor import check
from tests.support.driver import ok
from tests.support.patient import patient
from tests.support.system import System

WORKFLOW = """
id: everything
version: "1"
name: Everything at once
states:
  - {name: first, type: operation, action: agent.run, input: {agent: effect, task: first}, next: together}
  - name: together
    type: parallel
    branches:
      - name: asks
        states:
          - {name: ask, type: operation, action: human.approval, input: {message: "Go on?"}, next: told}
          - {name: told, type: operation, action: agent.run, input: {agent: effect, task: told}}
      - name: retries
        states:
          - name: flaky
            type: operation
            action: agent.run
            input: {agent: flaky, task: flaky}
            retry: {maxAttempts: 3, backoffSeconds: 0.2}
      - name: waits
        states:
          - {name: nap, type: operation, action: timer.wait, input: {seconds: 0.3}, next: awake}
          - {name: awake, type: operation, action: agent.run, input: {agent: effect, task: awake}}
    next: each
  - name: each
    type: foreach
    itemsPath: items
    maxConcurrency: 2
    iterator:
      states:
        - {name: item, type: operation, action: agent.run, input: {agent: effect, task: "item {{ item }}"}}
    next: signalled
  - {name: signalled, type: operation, action: signal.wait, input: {signal: go}, next: last}
  - {name: last, type: operation, action: agent.run, input: {agent: effect, task: last}}
"""
ITEMS = ["a", "b", "c", "d"]
STEPS = 5 + len(ITEMS)
"""Steps of agents in one run; one of them needs two attempts."""
_LINE = "$STATION_RUN_ID $STATION_STEP_ID $STATION_ATTEMPT"
_PATIENCE = 60.0

Effect = tuple[str, str, int]


class Story:
    """Runs of the workflow on one system, and what is known of them outside."""

    def __init__(self, system: System, *, seconds: float = 0.03) -> None:
        """``seconds``: how long an agent takes between what it does and its answer."""
        self.system = system
        self.client = patient(system.url)
        self._log = system.environments.parent / "effects.log"
        self._log.touch()
        self._people = ThreadPoolExecutor(24, "people")
        self._program("effect", f'echo "{_LINE}" >>{self._log}; sleep {seconds}; echo \'{{"done": true}}\'')
        flaky = f'echo "{_LINE}" >>{self._log}; sleep {seconds}; [ "$STATION_ATTEMPT" != 1 ] || exit 3; echo \'{{}}\''
        self._program("flaky", flaky)
        system.write_workflow("everything", WORKFLOW)

    def ready(self) -> None:
        """Return when the workflow and its agents are known."""
        for agent in ("effect", "flaky"):
            self.client.wait_agent(agent)
        self.client.wait_workflow("everything")

    def close(self) -> None:
        self._people.shutdown(wait=False, cancel_futures=True)
        self.client.api.close()

    def begin(self, name: str, count: int) -> list[Future[str]]:
        """Start runs, each with a person who approves and signals; the ids come when they have ended."""
        return [self._people.submit(self._live_through, f"{name}-{number}") for number in range(count)]

    def accompany(self, run_id: str) -> Future[str]:
        """A person for a run that somebody else has started, or will start."""
        return self._people.submit(self._accompany, run_id)

    def effects(self, prefix: str) -> list[Effect]:
        """What agents of these runs have done, in order."""
        lines = [line.split() for line in self._log.read_text().splitlines() if line.startswith(f"{prefix}-")]
        return [(run_id, step_id, int(attempt)) for run_id, step_id, attempt in lines]

    def wait_effects(self, prefix: str, count: int) -> None:
        """Return when agents of these runs have done so much."""
        deadline = time.monotonic() + _PATIENCE
        while len(found := self.effects(prefix)) < count:
            assert time.monotonic() < deadline, f"only {len(found)} of {count} effects came of {prefix}"
            time.sleep(0.005)

    def check(self, prefix: str, ended: list[Future[str]], *, runner_died: bool) -> Counter[Effect]:
        """All runs completed, each step succeeded once, and what was done twice was handed out twice; the repeats."""
        run_ids = [future.result(_PATIENCE) for future in ended]
        for run_id in run_ids:
            self._check_run(run_id)
        report = check(self.system.sqlite)
        assert not report.findings, report.findings
        done = Counter(self.effects(prefix))
        assert len(done) == len(run_ids) * (STEPS + 1), "every attempt left its trace"
        repeats = done - Counter(dict.fromkeys(done, 1))
        if runner_died:
            again = {(run_id, step) for run_id in run_ids for step in self._handed_out_again(run_id)}
            assert {(run_id, step_id) for run_id, step_id, _ in repeats} <= again
        else:
            assert not repeats, "no runner died, so nothing is done twice"
        return repeats

    def _check_run(self, run_id: str) -> None:
        assert self.client.run(run_id)["status"] == "COMPLETED"
        events = self.client.events(run_id)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        succeeded = Counter(event["stepId"] for event in events if event["type"] == "step_succeeded")
        assert set(succeeded.values()) == {1}
        agents = {s["stepId"] for s in self.client.steps(run_id) if s["action"] == "agent.run"}
        assert len(agents & set(succeeded)) == STEPS

    def _handed_out_again(self, run_id: str) -> set[str]:
        return {event["stepId"] for event in self.client.events(run_id, "step_redispatched")}

    def _live_through(self, run_id: str) -> str:
        self.client.start_run("everything", {"items": ITEMS}, runId=run_id)
        return self._accompany(run_id)

    def _accompany(self, run_id: str) -> str:
        client = self.client
        client.wait_run(run_id)
        approval = client.wait_approval(run_id, _PATIENCE)
        ok(client.approve(run_id, approval["id"]))
        client.wait_event(run_id, "state_entered", _entered("signalled"), _PATIENCE)
        ok(client.signal(run_id, "go", {"by": run_id}))
        client.finish(run_id, timeout=_PATIENCE)
        return run_id

    def _program(self, name: str, script: str) -> None:
        front = {"model": "exec", "exec": {"command": ["/bin/sh", "-c", script]}}
        self.system.write_agent(name, f"---\n{json.dumps(front)}\n---\nLeaves a trace.\n")


def _entered(state: str) -> Any:
    return lambda event: event["data"].get("stateName") == state
