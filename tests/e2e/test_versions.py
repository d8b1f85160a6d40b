"""A run stays with the agents that it began with, whatever becomes of their files and of the runner."""

import shutil
from collections.abc import Callable
from typing import Any

from tests.e2e.workflows import agent, ask, store
from tests.support.driver import Driver, ok
from tests.support.system import System


def digest_of(system: Driver, name: str) -> str:
    """Of the version that is loaded now."""
    return ok(system.api.get(f"/agents/{name}", params={"environment": "test"}))["digest"]


def changed(system: System, name: str, digest: str) -> str:
    """The new digest, once the catalog has another one than this."""
    system.wait_agent(name, known=lambda found: found["digest"] != digest)
    return digest_of(system, name)


def used(system: System, run_id: str) -> dict[str, tuple[Any, str]]:
    """What each agent state answered, and by which version, as the steps tell."""
    return {
        step["stateName"]: (step["output"], step["agent"]["digest"])
        for step in system.steps(run_id)
        if step.get("agent") is not None
    }


def test_a_run_goes_on_with_the_version_that_it_began_with(make_system: Callable[..., System]) -> None:
    system = make_system()
    system.write_scripted("changing", {"answer": "old"})
    system.wait_agent("changing")
    old = digest_of(system, "changing")
    store(
        system,
        "twice",
        agent("before", "changing", next="question"),
        ask("question", next="after"),
        agent("after", "changing"),
    )
    run_id = system.start_run("twice")
    approval = system.wait_approval(run_id)
    system.write_scripted("changing", {"answer": "new"})
    new = changed(system, "changing", old)

    # The next runner knows the old version from nobody but the scheduler: neither file nor spool have it.
    system.kill("agent-runner")
    shutil.rmtree(system.data_dir / "agent-runner")
    system.start("agent-runner")
    ok(system.approve(run_id, approval["id"]))
    system.finish(run_id)
    assert used(system, run_id) == {"before": ("old", old), "after": ("old", old)}

    later = system.start_run("twice")
    ok(system.approve(later, system.wait_approval(later)["id"]))
    system.finish(later)
    assert used(system, later) == {"before": ("new", new), "after": ("new", new)}
    assert digest_of(system, "changing") == new


def test_a_version_covers_partials_and_the_agents_that_it_calls(system: System) -> None:
    scripted = "---\nmodel: scripted\nscripted: [{answer: {ok: true}}]\n"
    system.write_agent("_tone", "Be brief.\n")
    system.write_agent("grandchild", f"{scripted}---\n{{{{> tone}}}}\n")
    system.write_agent("child", f"{scripted}agents: [grandchild]\n---\n")
    system.write_agent("parent", f"{scripted}agents: [child]\n---\n")
    system.write_agent("stranger", f"{scripted}---\n")
    names = ("grandchild", "child", "parent", "stranger")
    for name in names:
        system.wait_agent(name)
    before = {name: digest_of(system, name) for name in names}
    store(system, "family", agent("work", "parent"))
    first = system.start_run("family")
    system.finish(first)
    assert system.step(first, "work")["agent"]["digest"] == before["parent"]

    system.write_agent("_tone", "Be kind.\n")
    after = {name: changed(system, name, before[name]) for name in names if name != "stranger"}
    assert digest_of(system, "stranger") == before["stranger"]
    second = system.start_run("family")
    system.finish(second)
    assert system.step(second, "work")["agent"]["digest"] == after["parent"]

    system.write_agent("child", f"{scripted}agents: [grandchild]\n---\nAnother body.\n")
    assert changed(system, "parent", after["parent"]) not in before.values()
    assert digest_of(system, "grandchild") == after["grandchild"]
