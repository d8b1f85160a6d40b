"""Ids of spans that two processes, or one process before and after a crash, derive alike from run and step."""

import hashlib
import re

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?\Z")


def trace_id_of(run_id: str, traceparent: str | None) -> int:
    """The trace of whoever started the run, else one made of the run's id."""
    given = parse_traceparent(traceparent) if traceparent else None
    return given[0] if given else _derived("trace", run_id, size=16)


def run_span_id(run_id: str) -> int:
    return _derived("run", run_id)


def state_span_id(run_id: str, step_id: str) -> int:
    return _derived("state", run_id, step_id)


def step_span_id(run_id: str, step_id: str, attempt: int) -> int:
    return _derived("step", run_id, step_id, str(attempt))


def agent_span_id(run_id: str, step_id: str, attempt: int) -> int:
    return _derived("agent", run_id, step_id, str(attempt))


def traceparent(trace_id: int, span_id: int) -> str:
    """The header of the W3C, sampled."""
    return f"00-{trace_id:032x}-{span_id:016x}-01"


def parse_traceparent(text: str) -> tuple[int, int] | None:
    """Trace and span id; None for text that is no valid header, which is then as good as none."""
    found = _TRACEPARENT.match(text.strip().lower())
    if found is None or found[0].startswith("ff"):
        return None
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    return (trace_id, span_id) if trace_id and span_id else None


def _derived(*parts: str, size: int = 8) -> int:
    # Zero means "no id" in a trace, so it is moved aside.
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:size]) or 1
