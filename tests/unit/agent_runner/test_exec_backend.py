import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

import psutil
import pytest

from station.agent_runner.failures import AttemptFailed
from station.contracts.errors import ErrorType
from tests.support.agent_files import backend_of, call_of, load_agent
from tests.support.backend_conformance import BackendConformance
from tests.support.waiting import eventually

PYTHON = json.dumps(sys.executable)


def program(code: str, more: str = "") -> str:
    """Front matter of an agent that runs this Python code."""
    return f"model: exec\nexec: {{command: [{PYTHON}, -c, {json.dumps(code)}]{more}}}\n"


class TestConformance(BackendConformance):
    answers = program('print("""{"status": "ok"}""")')
    answers_wrongly = program('print("""{"status": 7}""")')
    answers_text = program('print("hello")')
    fails = program('import sys; sys.exit("it broke")')
    floods = program('while True: print("x" * 1000)')
    hangs = program("import time; time.sleep(3600)")


async def run(tmp_path: Path, code: str, more: str = "", **call: object) -> str:
    agent = await load_agent(tmp_path, "a", f"---\n{program(code, more)}---\nHello {{{{name}}}}, {{{{task}}}}\n")
    return (await backend_of(agent).run(call_of(agent, **call))).text  # pyright: ignore[reportArgumentType]


async def failure(tmp_path: Path, code: str, more: str = "") -> str:
    with pytest.raises(AttemptFailed) as failed:
        await run(tmp_path, code, more)
    assert failed.value.error.type is ErrorType.AGENT_ERROR
    return failed.value.error.message


async def test_the_program_reads_one_json_object(tmp_path: Path) -> None:
    answer = await run(tmp_path, "import sys; print(sys.stdin.read())", task="look", variables={"name": "Ada <&>"})
    assert json.loads(answer) == {
        "task": "look",
        "variables": {"name": "Ada <&>"},
        "prompt": "Hello Ada <&>, look",
        "agent": "a",
        "environment": "test",
        "runId": "run_1",
        "stepId": "5" * 32,
        "attempt": 1,
        "idempotencyKey": f"run_1:{'5' * 32}:1",
    }


async def test_the_environment_is_minimal_and_holds_the_files_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATION_NATS_URL", "nats://user:secret@host")
    monkeypatch.setenv("AWS_SECRET", "secret")
    monkeypatch.setenv("TZ", "UTC")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    seen = json.loads(await run(tmp_path, code, ", env: {GREETING: hi, STATION_ATTEMPT: '9'}", attempt=3))
    assert "secret" not in str(seen)
    assert seen["GREETING"] == "hi"
    assert seen["TZ"] == "UTC"
    assert seen["PATH"] == os.environ["PATH"]
    assert {name: seen[name] for name in seen if name.startswith("STATION_")} == {
        "STATION_RUN_ID": "run_1",
        "STATION_STEP_ID": "5" * 32,
        "STATION_ATTEMPT": "3",
        "STATION_IDEMPOTENCY_KEY": f"run_1:{'5' * 32}:3",
    }


async def test_the_working_directory_is_the_environments_folder_or_below(tmp_path: Path) -> None:
    (tmp_path / "test" / "tools").mkdir(parents=True)
    code = "import os; print(os.getcwd())"
    assert await run(tmp_path, code) == str(tmp_path / "test")
    assert await run(tmp_path, code, ", cwd: tools") == str(tmp_path / "test" / "tools")
    assert "does not exist" in await failure(tmp_path, code, ", cwd: nowhere")


async def test_arguments_pass_no_shell(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:])"
    text = f"---\nmodel: exec\nexec: {{command: [{PYTHON}, -c, {json.dumps(code)}, '$(id)', '*', 'a b;c']}}\n---\n"
    agent = await load_agent(tmp_path, "a", text)
    assert (await backend_of(agent).run(call_of(agent))).text == "['$(id)', '*', 'a b;c']"


async def test_an_exit_status_is_told_with_the_end_of_stderr(tmp_path: Path) -> None:
    message = await failure(tmp_path, "import sys; sys.stderr.write('x' * 100_000 + 'the end'); sys.exit(3)")
    assert "ended with exit status 3" in message
    assert message.endswith("the end")
    assert 2048 <= len(message) < 2300


async def test_a_signal_is_told_by_name(tmp_path: Path) -> None:
    message = await failure(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert "was ended by SIGKILL" in message
    assert "it wrote nothing to stderr" in message


async def test_a_program_need_not_read_what_it_is_given(tmp_path: Path) -> None:
    assert await run(tmp_path, "print('done')", variables={"big": "x" * 5_000_000}) == "done"
    code = "import sys; sys.stdin.close(); print('shut')"
    assert await run(tmp_path, code, variables={"big": "x" * 5_000_000}) == "shut"


async def test_any_amount_of_stderr_is_drained(tmp_path: Path) -> None:
    assert await run(tmp_path, "import sys; sys.stderr.write('x' * 20_000_000); print('done')") == "done"


async def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    assert "not UTF-8" in await failure(tmp_path, "import sys; sys.stdout.buffer.write(b'\\xff\\xfe')")


async def test_a_missing_program_is_said_and_not_tried_again(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", "---\nmodel: exec\nexec: {command: [no-such-program-here]}\n---\n")
    with pytest.raises(AttemptFailed, match="cannot start no-such-program-here: it was not found") as failed:
        await backend_of(agent).run(call_of(agent))
    assert not failed.value.error.retryable


async def test_a_file_that_is_no_program_is_said_and_not_tried_again(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", "---\nmodel: exec\nexec: {command: [./tool]}\n---\n")
    tool = tmp_path / "test" / "tool"
    tool.write_text("#!/bin/sh\necho hi\n")
    with pytest.raises(AttemptFailed, match="not executable") as failed:
        await backend_of(agent).run(call_of(agent))
    assert not failed.value.error.retryable
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    assert (await backend_of(agent).run(call_of(agent))).text == "hi"


FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}])
time.sleep(0.3)  # until the child has set its handlers
open("pids", "w").write(f"{{os.getpid()}} {{child.pid}}")
{then}
"""
IGNORES = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
OBEYS = "import time; time.sleep(3600)"


async def pids(tmp_path: Path) -> list[int]:
    """The program and its child, once both run."""
    file = tmp_path / "test" / "pids"
    text = await eventually(lambda: file.exists() and file.read_text())
    return [int(pid) for pid in str(text).split()]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(family: list[int]) -> None:
    """Return when none of them runs; a signal to a process that is not our child takes a moment to be seen."""
    await eventually(lambda: not any(alive(pid) for pid in family))


@pytest.mark.parametrize("child", [OBEYS, IGNORES])
async def test_cancelling_kills_the_program_and_its_children(tmp_path: Path, child: str) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if child is IGNORES else ""
    code += FAMILY.format(child=child, then="time.sleep(3600)")
    working = asyncio.create_task(run(tmp_path, code, ", killAfterSeconds: 0.2"))
    family = await pids(tmp_path)
    assert all(alive(pid) for pid in family)
    working.cancel()
    await asyncio.wait({working})
    assert working.cancelled()
    await gone(family)


async def test_children_left_behind_are_ended_and_do_not_hold_up_the_answer(tmp_path: Path) -> None:
    answer = await run(tmp_path, FAMILY.format(child=IGNORES, then="print('done')"), ", killAfterSeconds: 0.2")
    assert answer == "done"
    await gone(await pids(tmp_path))


async def test_a_program_may_finish_its_work_after_sigterm(tmp_path: Path) -> None:
    code = """
import pathlib, signal, sys, time
def ended(*_):
    pathlib.Path("cleaned").write_text("yes"); sys.exit(1)
signal.signal(signal.SIGTERM, ended)
pathlib.Path("pids").write_text("0")
time.sleep(3600)
"""
    working = asyncio.create_task(run(tmp_path, code))
    await pids(tmp_path)
    working.cancel()
    await asyncio.wait({working})
    assert (tmp_path / "test" / "cleaned").read_text() == "yes"


async def test_a_second_cancel_forfeits_the_grace(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += FAMILY.format(child=IGNORES, then="time.sleep(3600)")
    working = asyncio.create_task(run(tmp_path, code, ", killAfterSeconds: 300"))
    family = await pids(tmp_path)
    working.cancel()
    assert not (await asyncio.wait({working}, timeout=0.2))[0]
    working.cancel()
    await asyncio.wait({working})
    await gone(family)


async def test_a_process_that_left_the_group_with_the_pipe_does_not_hang_the_step(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {OBEYS!r}], start_new_session=True)
print(child.pid)
"""
    answer = await run(tmp_path, code)
    os.kill(int(answer), signal.SIGKILL)
