"""Agents of every bad kind cost their own step, and nothing of them is left."""

from pathlib import Path

import psutil

from tests.e2e.workflows import agent, inject, parallel, store
from tests.support.system import System

FAILURES = {
    "not-json": ("validation", "promises JSON"),
    "binary": ("agent_error", "not UTF-8"),
    "too-large": ("payload_too_large", "100000"),
    "endless": ("payload_too_large", "100000"),
    "odd-numbers": ("validation", "promises JSON"),
    "deep": ("validation", "promises JSON"),
}
HANGING = ("mute", "stubborn")


def test_each_costs_its_own_step_and_leaves_no_process(unshaken: System) -> None:
    """All at once: what answers badly fails with its reason, what hangs meets its timeout, the others go on."""
    failing = {name: [agent("a", name)] for name in FAILURES}
    hanging = {name: [agent("a", name, timeoutSeconds=0.3)] for name in HANGING}
    good = {name: [agent("a", name)] for name in ("noisy", "breeder", "ok")}
    gather = parallel("all", failing | hanging | good, onError="after")
    store(unshaken, "misbehaving", gather, inject("after", {"went": "on"}))
    run = unshaken.finish(unshaken.start_run("misbehaving"), timeout=60)
    steps = {step["branchPath"][-1][1]: step for step in unshaken.steps(run["id"]) if step["stateName"] == "a"}
    for name, (kind, words) in FAILURES.items():
        assert (steps[name]["status"], steps[name]["error"]["type"]) == ("FAILED", kind), name
        assert words in steps[name]["error"]["message"], name
    assert {(steps[name]["status"], steps[name]["error"]["type"]) for name in HANGING} == {("TIMED_OUT", "timeout")}
    assert steps["noisy"]["output"] == {"quiet": False}
    assert steps["breeder"]["output"] == {"bred": 20}
    assert {cause["where"] for cause in steps_error(unshaken, run["id"])} == {*FAILURES, *HANGING}
    assert not leftovers(run["id"])


def test_what_an_agent_says_is_never_a_template(unshaken: System) -> None:
    """Neither in the run's context, nor where the next agent gets it, nor in what a person is shown."""
    text = "{{ secret }} {{ ctx.secret }} {% x %}"
    told = {"said": "{{ steps.say.text }}", "inside": "<{{ steps.say.text }}>", "whole": "{{ steps.say }}"}
    store(
        unshaken,
        "injection",
        agent("say", "template", next="hear"),
        agent("hear", "echo", variables=told),
    )
    run = unshaken.finish(unshaken.start_run("injection", {"secret": "s3cr3t"}))
    assert run["output"] == {"said": text, "inside": f"<{text}>", "whole": {"text": text}}


def steps_error(system: System, run_id: str) -> list[dict[str, str]]:
    return system.step(run_id, "all")["error"]["causes"]


def leftovers(run_id: str) -> list[str]:
    """Processes that were started for a run, by what the runner puts into their environment."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        if f"STATION_RUN_ID={run_id}".encode() in environment.split(b"\0"):
            found.append(f"{process.pid}")
    return found
