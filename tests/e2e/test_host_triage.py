"""The example that does a real job: it measures this machine, asks, rotates its log and writes a report."""

import os

from tests.support.driver import ok
from tests.support.system import System


def start(system: System, **given: object) -> str:
    system.wait_workflow("host-triage")
    port = int(system.url.rsplit(":", 1)[1])
    targets = {"targets": [{"host": "127.0.0.1", "port": port}]}
    return system.start_run("host-triage", {**targets, **given}, environment="default")


def test_through_its_approval(system: System) -> None:
    run_id = start(system)
    asked = system.wait_approval(run_id)
    assert asked["message"].startswith("Over a threshold, or a port is down")
    assert asked["summary"]["ports"]["result"][0]["result"]["open"] is True
    assert asked["summary"]["cpu"]["result"]["cores"] == os.cpu_count()
    ok(system.approve(run_id, asked["id"], comment="rotate it"))
    run = system.finish(run_id)
    assert run["context"]["steps"]["rotation"]["rotated"] is True
    folder = system.environments.parent / "tmp" / f"station-triage-{os.getuid()}"
    reports = [path.read_text() for path in (folder / "reports").iterdir() if run_id in path.read_text()]
    assert len(reports) == 1
    assert "Approved by user:alice." in reports[0]


def test_a_machine_in_order_needs_nobody(system: System) -> None:
    high = {"loadPerCore": 1e6, "memoryUsedPercent": 101, "diskUsedPercent": 101, "largestProcessPercent": 101}
    run_id = start(system, thresholds={**high, "logBytes": 10**9})
    system.finish(run_id)
    assert system.approvals(run_id) == []
    assert system.step(run_id, "report_ok")["status"] == "SUCCEEDED"
