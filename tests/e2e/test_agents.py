"""What stands around an agent's work: schemas, failures that say why, and an end of all its processes."""

from pathlib import Path

import psutil

from tests.e2e.agents import Pipe
from tests.e2e.workflows import agent, store
from tests.support.driver import ok
from tests.support.system import System


def test_an_answer_that_does_not_fit_its_schema(system: System) -> None:
    store(system, "lies", agent("ask", "liar"))
    run = system.finish(system.start_run("lies"), "FAILED")
    assert run["error"]["type"] == "validation"
    assert "/ready" in run["error"]["message"]


def test_an_input_that_does_not_fit_its_schema_is_not_tried_again(system: System) -> None:
    retry = {"maxAttempts": 3, "backoffSeconds": 0}
    store(system, "misfit", agent("ask", "strict", variables={"ready": "{{ word }}"}, retry=retry))
    run = system.finish(system.start_run("misfit", {"word": "perhaps"}), "FAILED")
    assert run["error"]["type"] == "validation"
    assert [step["attempt"] for step in system.steps(run["id"])] == [1]
    assert system.finish(system.start_run("misfit", {"word": True}))["output"] == {"ready": True}


def test_a_program_that_fails_says_why(system: System) -> None:
    store(system, "dies", agent("work", "die"))
    run = system.finish(system.start_run("dies"), "FAILED")
    assert run["error"]["type"] == "agent_error"
    assert "exit status 1" in run["error"]["message"]
    assert "the disk is on fire" in run["error"]["message"]


def test_what_a_program_is_told(system: System) -> None:
    store(system, "told-all", agent("work", "echo", "Look at {{ n }}", {"n": "{{ n }}", "text": "n is {{ n }}"}))
    run = system.finish(system.start_run("told-all", {"n": 7}))
    told = run["output"]
    step = system.step(run["id"], "work")
    assert (told["task"], told["variables"]) == ("Look at 7", {"n": 7, "text": "n is 7"})
    assert (told["agent"], told["environment"]) == ("echo", "test")
    assert told["idempotencyKey"] == f"{run['id']}:{step['stepId']}:1"


def test_cancel_ends_a_program_and_its_children(system: System, tmp_path: Path) -> None:
    """The child ignores SIGTERM: it is killed."""
    pipe = Pipe(tmp_path)
    store(system, "has-children", agent("work", "tree", variables={"pipe": str(pipe)}))
    run_id = system.start_run("has-children")
    processes = [psutil.Process(pid) for pid in pipe.receive()]
    assert all(process.is_running() for process in processes)
    ok(system.control(run_id, "cancel"))
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
    assert system.run(run_id)["status"] == "CANCELLED"


def test_a_timeout_ends_a_program_and_its_children(system: System, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    store(system, "hangs", agent("work", "tree", variables={"pipe": str(pipe)}, timeoutSeconds=2))
    run_id = system.start_run("hangs")
    processes = [psutil.Process(pid) for pid in pipe.receive()]
    run = system.finish(run_id, "FAILED")
    assert run["error"]["type"] == "timeout"
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []


def test_an_agent_of_another_environment(system: System) -> None:
    store(system, "elsewhere", agent("work", "kubernetes-triage@default", "Check pods in staging"))
    run = system.finish(system.start_run("elsewhere"))
    assert run["output"]["status"] == "healthy"


def test_a_changed_agent_is_used_at_once(system: System) -> None:
    system.write_scripted("changing", {"answer": 1})
    system.wait_agent("changing")
    store(system, "uses-changing", agent("work", "changing"))
    assert system.finish(system.start_run("uses-changing"))["output"] == 1
    digest = ok(system.api.get("/agents/changing", params={"environment": "test"}))["digest"]
    system.write_scripted("changing", {"answer": 2})
    system.wait_agent("changing", known=lambda agent: agent["digest"] != digest)
    assert system.finish(system.start_run("uses-changing"))["output"] == 2


def test_an_answer_that_is_too_large(system: System) -> None:
    store(system, "talks", agent("work", "talk"))
    run = system.finish(system.start_run("talks"), "FAILED")
    assert run["error"]["type"] == "payload_too_large"
