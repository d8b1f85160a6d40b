from pathlib import Path

import pytest

from station.agent_runner.spool import Spool, SpoolError
from station.contracts.work import StepResult


def result(step: str = "a" * 32, token: int = 7, output: object = None) -> StepResult:
    return StepResult(run_id="run_1", step_id=step, attempt=1, token=token, output=output or {"ok": [1, None]})


async def test_a_result_outlives_the_process_until_it_is_dropped(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    await spool.put(result())
    assert (tmp_path / f"{'a' * 32}.1.7.result").exists()
    spool.close()

    spool = Spool.open(tmp_path)
    assert spool.load() == (result(),)
    spool.drop(result())
    spool.drop(result())
    assert spool.load() == ()
    spool.close()


async def test_the_runner_keeps_its_id_and_counts_its_starts(tmp_path: Path) -> None:
    first = Spool.open(tmp_path)
    first.close()
    second = Spool.open(tmp_path)
    second.close()
    assert first.identity.runner == second.identity.runner
    assert (first.identity.boot, second.identity.boot) == (1, 2)
    named = Spool.open(tmp_path, "mine")
    named.close()
    assert (named.identity.runner, named.identity.boot) == ("mine", 3)


async def test_two_runners_never_share_a_directory(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    with pytest.raises(SpoolError, match=r"another agent-runner is using .* STATION_RUNNER_ID"):
        Spool.open(tmp_path)
    spool.close()
    Spool.open(tmp_path).close()


async def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="STATION_DATA_DIR"):
        Spool.open(tmp_path / "file" / "spool")
    with pytest.raises(SpoolError, match="letters, digits"):
        Spool.open(tmp_path / "spool", "my runner")
    (tmp_path / "runner.json").write_text("{")
    with pytest.raises(SpoolError, match=r"runner\.json is damaged"):
        Spool.open(tmp_path)


async def test_half_written_and_damaged_files_never_stop_a_start(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    await spool.put(result())
    (tmp_path / f"{'b' * 32}.1.8.result.tmp").write_bytes(b"\x80")
    (tmp_path / f"{'c' * 32}.1.9.result").write_bytes(b"\x80\x80")
    assert spool.load() == (result(),)
    assert (tmp_path / f"{'c' * 32}.1.9.damaged").exists()
    assert spool.load() == (result(),)
    spool.close()


async def test_a_result_that_nobody_takes_is_kept_aside(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    await spool.put(result())
    spool.set_aside(result())
    assert spool.load() == ()
    assert (tmp_path / f"{'a' * 32}.1.7.refused").exists()
    spool.close()
