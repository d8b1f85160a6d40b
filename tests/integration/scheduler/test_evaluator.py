"""The evaluator pool with its real processes: right answers, and no bomb that outlives its own evaluation."""

import asyncio
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from station.core.expressions import bindings, compile_expression
from station.scheduler.evaluator.pool import MAX_BINDINGS_BYTES, EvaluatorPool, Outcome

ROOT: dict[str, Any] = {
    "config": {"thresholds": {"errorRate": 0.05}},
    "steps": {"scan": {"hosts": [{"name": "A1", "load": 0.5}, {"name": "b2", "load": 3}], "größe": 2}},
}
DATA = {"error_rate": 0.08, "status": "degraded", "type": "http", "load": 4, "größe": 7}


@pytest.fixture
async def pool() -> AsyncIterator[EvaluatorPool]:
    pool = EvaluatorPool()
    await pool.start()
    yield pool
    await pool.close()


async def decide(pool: EvaluatorPool, *sources: str, data: Any = DATA) -> Outcome:
    conditions = [compile_expression(source) for source in sources]

    def root(name: str) -> Any:
        return ROOT if name == "ctx" else ROOT[name]

    names = bindings(*conditions, root_lookup=root, data_value=data, has_data=True)
    return await pool.evaluate([condition.starlark for condition in conditions], names)


async def evaluating(pool: EvaluatorPool) -> None:
    while not pool.busy_pids:  # noqa: ASYNC110 - one turn of the loop, until the task has begun
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "source",
    [
        "result.error_rate > 0.05",
        "result.status == 'degraded'",
        "error_rate > ctx.config.thresholds.errorRate",
        "any([host.load > 1 for host in steps.scan.hosts])",
        "[h.name.lower() for h in steps.scan.result.hosts] == ['a1', 'b2']",
        "sorted(steps.scan.hosts, key=lambda h: -h.load)[0].name == 'b2'",
        "sorted(['ccc', 'a'], key=len)[0] == 'a' and len([len for len in [1, 2]]) == 2",
        "max(load, 3) == 4 and type(type) == 'string' and type == 'http'",
        "hasattr(value, 'load') and not hasattr(value, 'result') and getattr(value, 'x', 9) == 9",
        "status + '!' == 'degraded!' and '%s' % status == status and status[:3] == 'deg'",
        "größe == 7 and steps.scan['größe'] == 2 and [größe for größe in [1]] == [1]",
        "{k: v for k, v in value.items() if k == 'load'} == {'load': 4}",
        "result.get('x', {}).get('y') == None",
        "'error_rate' in ctx.steps.scan or 'hosts' in ctx.steps.scan",
        "(lambda: 1)() == 1",
    ],
)
async def test_answers(pool: EvaluatorPool, source: str) -> None:
    assert await decide(pool, source) == Outcome(matched=0)


async def test_first_true_one_wins_and_later_ones_are_not_looked_at(pool: EvaluatorPool) -> None:
    assert await decide(pool, "load > 9", "load > 3", "no_such_name") == Outcome(matched=1)
    assert await decide(pool, "load > 9", "load > 8") == Outcome(matched=-1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("eror_rate > 1", 'unknown name "eror_rate" (did you mean "error_rate"?); names in sight: error_rate, größe'),
        ("false and nothing", 'unknown name "nothing"'),
        ("ctx.config.thresholds.x > max(1, 2)", 'no member "x"; the object has: errorRate; names in sight: ctx'),
        ("max(value['x'], 1)", 'no member "x"; the object has: error_rate'),
        ("max(load.x, 1)", 'no member "x": the value is a number, not an object'),
        ("max(1, 'a') == 1", "not supported"),
        ("hasattr([x for x in [1]], 'x')", "hasattr reads an object, and the value is a list"),
        ("getattr([x for x in [1]], 'x', 1)", "getattr reads an object, and the value is a list"),
        ("1 // (1 - max(1, 0))", "division by zero"),
        ("lambda: 1", "gives a function, which is neither true nor false"),
        ("fail('no host')", "no host"),
        ("(lambda f: f(f))(lambda f: f(f))", "stack overflow"),
    ],
)
async def test_a_failure_stops_and_says_why(pool: EvaluatorPool, source: str, message: str) -> None:
    outcome = await decide(pool, "load > 9", source, "load > 3")
    assert (outcome.matched, outcome.failed) == (-1, 1)
    assert message.lower() in str(outcome.problem).lower()
    assert "names in sight: " in str(outcome.problem)
    assert pool.starts == 3  # nothing had to be replaced


BOMBS = {
    "a builtin that never polls": "max(range(2000000000))",
    "a split of 300 MB": 'len(("a,"*100000000).split(","))',
    "text of 2 GB": 'len("a"*2000000000)',
    "a list of 2 billion": "[0]*2000000000",
    "replacing that grows": '"a".replace("", "b"*1000000).replace("b", "c"*100000)',
    "4,096 signs": "-" * 4096 + "1",
    "4,096 nots": "not " * 4096 + "1",
    "4,096 additions": "1" + "+1" * 4096,
    "4,096 brackets": "[" * 4096 + "]" * 4096,
    "a list that grows for ever": "len([0 for a in range(1000000) for b in range(1000000)])",
    "a loop that stores nothing": "len([0 for a in range(1000000) for b in range(1000000) if a < 0])",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_a_bomb_costs_one_evaluation(pool: EvaluatorPool, bomb: str) -> None:
    beside = asyncio.create_task(pool.evaluate(["v_x == 1"], {"x": 1}))
    outcome = await pool.evaluate(["False", bomb], {"x": 1})
    assert outcome.problem is not None, "the bomb went off and nobody noticed"
    assert outcome.matched == -1
    assert await beside == Outcome(matched=0)
    for _ in range(4):
        assert await pool.evaluate(["v_x == 1"], {"x": 1}) == Outcome(matched=0)


async def test_the_loop_runs_on_while_a_bomb_burns(pool: EvaluatorPool) -> None:
    """Other evaluations are answered in between: the helper that hangs is not waited for."""
    bomb = asyncio.create_task(pool.evaluate(["max(range(2000000000))"], {}))
    answered = 0
    while not bomb.done():
        assert await pool.evaluate(["True"], {}) == Outcome(matched=0)
        answered += 1
    assert answered > 10
    assert "500 ms" in str(bomb.result().problem)
    assert pool.kills == 1


async def test_the_soft_limit_costs_no_process(pool: EvaluatorPool) -> None:
    outcome = await pool.evaluate(["len([0 for a in range(1000000) for b in range(1000000) if a < 0])"], {})
    assert "longer than 100 ms" in str(outcome.problem)
    assert (pool.kills, pool.deaths) == (0, 0)


async def test_many_bombs_at_once(pool: EvaluatorPool) -> None:
    outcomes = await asyncio.gather(*(pool.evaluate(['len("a"*2000000000)'], {}) for _ in range(8)))
    assert all("crashed its evaluator" in str(outcome.problem) for outcome in outcomes)
    assert await pool.evaluate(["True"], {}) == Outcome(matched=0)
    assert pool.failures == 8


async def test_helpers_killed_while_idle_cost_nothing(pool: EvaluatorPool) -> None:
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert await pool.evaluate(["v_x == 1"], {"x": 1}) == Outcome(matched=0)


async def test_a_helper_killed_while_it_works_is_tried_once_more(pool: EvaluatorPool) -> None:
    asked = asyncio.create_task(pool.evaluate(["False", "max(range(20000000)) > 1"], {}))
    await evaluating(pool)
    os.kill(pool.busy_pids[0], signal.SIGKILL)
    assert await asked == Outcome(matched=1)
    assert pool.deaths == 1


async def test_a_helper_that_dies_by_itself_is_a_failure(pool: EvaluatorPool) -> None:
    asked = asyncio.create_task(pool.evaluate(["max(range(2000000000))"], {}))
    await evaluating(pool)
    os.kill(pool.busy_pids[0], signal.SIGSEGV)
    assert "crashed its evaluator (SIGSEGV)" in str((await asked).problem)
    assert await pool.evaluate(["True"], {}) == Outcome(matched=0)


async def test_a_cancelled_evaluation_leaves_no_stale_answer(pool: EvaluatorPool) -> None:
    asked = asyncio.create_task(pool.evaluate(["max(range(2000000000))"], {}))
    await evaluating(pool)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    for _ in range(4):
        assert await pool.evaluate(["False"], {}) == Outcome(matched=-1)


async def test_too_much_data_is_said_to_be_so(pool: EvaluatorPool) -> None:
    outcome = await decide(pool, "[x for x in [value]] != []", data={"log": "x" * MAX_BINDINGS_BYTES})
    assert f"more than {MAX_BINDINGS_BYTES}" in str(outcome.problem)
    assert "name the members" in str(outcome.problem)
    just_enough = {"x": "y" * (MAX_BINDINGS_BYTES - len('{"x":""}'))}
    assert await pool.evaluate(["len(v_x) > 1"], just_enough) == Outcome(matched=0)


async def test_helpers_are_confined(pool: EvaluatorPool) -> None:
    assert len(pool.pids) == 3
    for pid in pool.pids:
        assert os.getsid(pid) == pid
        assert resource.prlimit(pid, resource.RLIMIT_AS)[0] == 512 * 1024 * 1024
        assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] == 16
        environment = await asyncio.create_subprocess_exec(
            "cat", f"/proc/{pid}/environ", stdout=asyncio.subprocess.PIPE
        )
        assert await environment.communicate() == (b"", None)


PARENT = """
import asyncio
from station.scheduler.evaluator.pool import EvaluatorPool

async def main():
    pool = EvaluatorPool()
    await pool.start()
    bomb = asyncio.create_task(pool.evaluate(["max(range(2000000000))"], {}))
    while not pool.busy_pids:
        await asyncio.sleep(0)
    print(*pool.pids, flush=True)
    await bomb

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_helpers_die_with_the_scheduler_even_while_they_burn() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        watched = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(watched) == 3
    for child in watched:
        ended, _, _ = select.select([child], [], [], 30)
        assert ended, "a helper outlived its scheduler"
        os.close(child)


async def test_close_leaves_no_process_behind() -> None:
    pool = EvaluatorPool(size=1)
    await pool.start()
    pids = pool.pids
    assert len(pids) == 2
    await pool.evaluate(['len("a"*2000000000)'], {})
    await pool.close()
    assert pool.pids == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
