"""The agents of host-triage measure this machine and act on files of their own, once."""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

MEBIBYTE = 2**20


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, and so answers to nobody else, but is not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_cpu_is_this_machines(examples):
    measured = examples.answer("host-cpu")

    assert measured["cores"] == len(psutil.Process().cpu_affinity())
    assert measured["host"] == os.uname().nodename
    assert measured["loadPerCore"] == pytest.approx(measured["load"][0] / measured["cores"], abs=0.02)


def test_memory_is_this_machines(examples):
    measured = examples.answer("host-memory")

    assert measured["totalBytes"] == psutil.virtual_memory().total
    assert measured["availableBytes"] == pytest.approx(psutil.virtual_memory().available, abs=1024 * MEBIBYTE)


def test_disk_is_the_file_system_of_the_path(examples, tmp_path):
    measured = examples.answer("host-disk", {"path": str(tmp_path)})

    assert measured["totalBytes"] == shutil.disk_usage(tmp_path).total
    assert measured["usedPercent"] == pytest.approx(psutil.disk_usage(str(tmp_path)).percent, abs=2)


def test_a_path_that_is_not_there_is_not_measured(examples):
    outcome = examples.run("host-disk", {"path": "/no/such/place"})

    assert outcome.code == 1
    assert "not measured: no file system at /no/such/place" in outcome.stderr


def test_processes_are_sorted_and_alive(examples):
    measured = examples.answer("host-processes")

    sizes = [each["rssBytes"] for each in measured["byMemory"]]
    shares = [each["cpuPercent"] for each in measured["byCpu"]]
    assert sizes == sorted(sizes, reverse=True)
    assert shares == sorted(shares, reverse=True)
    assert measured["largestPercent"] == pytest.approx(100 * sizes[0] / psutil.virtual_memory().total, abs=0.1)


def test_an_open_port_answers(examples, listening_port):
    measured = examples.answer("port-probe", {"host": "127.0.0.1", "port": listening_port})

    assert (measured["open"], measured["port"]) == (True, listening_port)


def test_a_port_that_does_not_answer_fails_the_attempt_so_that_it_is_retried(examples, closed_port):
    outcome = examples.run("port-probe", {"host": "127.0.0.1", "port": closed_port})

    assert outcome.code == 1
    assert f"127.0.0.1:{closed_port} does not answer: Connection refused" in outcome.stderr


def test_one_sample_puts_the_log_over_the_default_threshold(examples):
    first, second = examples.answer("host-log-sample"), examples.answer("host-log-sample")

    workflow = yaml.safe_load((examples.environment / "workflows" / "host-triage.workflow.yaml").read_text())
    assert first["bytes"] > workflow["states"][0]["data"]["thresholds"]["logBytes"]
    log = Path(second["path"])
    assert log.parent == examples.work_directory
    assert log.stat().st_size == second["bytes"] > first["bytes"]
    assert [json.loads(line)["host"] for line in log.read_text().splitlines()] == [os.uname().nodename] * 2


def test_rotating_twice_for_the_same_step_rotates_once(examples):
    first_log = examples.answer("host-log-sample")
    rotated = examples.answer("host-log-rotate")
    next_log = examples.answer("host-log-sample")

    assert rotated["bytes"] == first_log["bytes"]
    assert examples.answer("host-log-rotate") == rotated
    assert examples.answer("host-log-rotate", attempt=2) == rotated
    assert Path(next_log["path"]).stat().st_size == next_log["bytes"]


def test_rotating_at_the_same_time_moves_the_log_whole(examples):
    sampled = examples.answer("host-log-sample")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: examples.answer("host-log-rotate"), range(4)))

    assert all(answer == answers[0] for answer in answers)
    assert Path(answers[0]["archive"]).stat().st_size == sampled["bytes"]


def test_another_step_rotates_again(examples):
    archives: list[Any] = []
    for step in ("s1", "s2"):
        examples.answer("host-log-sample")
        archives.append(examples.answer("host-log-rotate", stepId=step)["archive"])

    assert archives[0] != archives[1]
    assert all(Path(archive).exists() for archive in archives)


def test_no_log_is_nothing_to_rotate(examples):
    assert examples.answer("host-log-rotate")["rotated"] is False


def test_rotating_without_a_key_is_refused(examples):
    outcome = examples.run("host-log-rotate", idempotencyKey="by hand")

    assert outcome.code == 1
    assert "idempotencyKey must be run:step:attempt" in outcome.stderr


def test_a_work_directory_that_leads_elsewhere_is_refused(examples, tmp_path):
    examples.work_directory.symlink_to(tmp_path)
    outcome = examples.run("host-log-sample")

    assert outcome.code == 1
    assert "set TRIAGE_DIR in the agent's env" in outcome.stderr


def test_the_report_shows_measures_beside_thresholds_and_what_was_done(examples, listening_port, closed_port):
    targets = [{"host": "127.0.0.1", "port": port} for port in (listening_port, closed_port)]
    down = {"result": {"open": False, "text": "down"}, "error": {"message": "python3 ended; stderr:\nrefused"}}
    measures = {
        "cpu": {"result": examples.answer("host-cpu")},
        "memory": {"result": {"measured": False, "text": "memory not measured"}, "error": {"message": "no | pipe"}},
        "processes": {"result": examples.answer("host-processes")},
        "ports": {"result": [{"result": examples.answer("port-probe", targets[0])}, down]},
        "log": {"result": examples.answer("host-log-sample")},
    }
    answered = examples.answer(
        "host-report",
        {
            "outcome": "mitigated",
            "measures": measures,
            "thresholds": {"loadPerCore": 2, "logBytes": 256},
            "given": {"thresholds": {"loadPerCore": 4}},
            "targets": targets,
            "approval": {"decidedBy": "alice"},
            "rotation": examples.answer("host-log-rotate"),
        },
    )

    report = Path(answered["report"]).read_text()
    assert answered["report"] == str(examples.work_directory / "reports" / "run_1.md")
    assert f"{measures['cpu']['result']['text']} | loadPerCore: 4 |" in report
    assert "memory not measured (no \\| pipe)" in report
    assert f"`127.0.0.1:{closed_port}`: down (refused)" in report
    assert "Approved by alice." in report
    assert f"Moved {measures['log']['result']['bytes']} bytes of log" in report
    assert str(examples.work_directory) in report


def test_the_all_clear_says_that_nothing_was_done(examples):
    answered = examples.answer("host-report", {"outcome": "all clear", "measures": {}, "thresholds": {}})

    assert "Nothing: all that could be measured was within its threshold." in Path(answered["report"]).read_text()
