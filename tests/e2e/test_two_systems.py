"""Two systems on one machine, with the same environments and nothing else in common."""

from pathlib import Path

from tests.e2e.workflows import agent, store
from tests.support.system import System


def test_side_by_side(system: System, tmp_path: Path) -> None:
    with System(tmp_path, environments=system.environments) as other:
        for each, word in ((system, "here"), (other, "there")):
            store(each, "side-by-side", agent("work", "echo", word))
        for each, word in ((system, "here"), (other, "there")):
            run_id = each.start_run("side-by-side", runId="side-by-side")
            assert each.finish(run_id)["output"]["task"] == word
        assert other.api.get("/workflow-runs").json()["total"] == 1
        assert not set(system.pids.values()) & set(other.pids.values())
    assert system.run("side-by-side")["output"]["task"] == "here"
