"""What a stack of a service was busy with: the area of its innermost frame that is ours or a library's."""

from collections.abc import Sequence

REST = "event loop, system calls"
AREAS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("SQLite: the writer's thread", ("(scheduler/store/writer.py",)),
    ("SQLite: look-ups by key", ("(scheduler/store/reader.py", "(aiosqlite/")),
    ("logging", ("(structlog/", "(logging/", "(runtime/logging.py", "(scheduler/engine/journal.py")),
    ("metrics", ("(prometheus_client/", "(scheduler/engine/figures.py", "(runtime/metrics.py")),
    ("the answer to a start", ("(core/instants.py", "(scheduler/handlers/views.py", "(scheduler/handlers/waiting.py")),
    ("decide and evolve", ("(core/",)),
    (
        "events, rows and messages: encode, hash",
        tuple(f"(scheduler/engine/{name}.py" for name in ("record", "chain", "rows", "publishing")),
    ),
    ("scheduler: requests", ("(scheduler/handlers/",)),
    ("scheduler: turns, relay, timers", ("(scheduler/",)),
    ("NATS client", ("(nats/", "(runtime/client.py")),
    ("requests on the bus: encode, match, serve", ("(runtime/",)),
    ("HTTP server", ("(uvicorn/",)),
    ("Litestar: routing, parameters, responses", ("(litestar/", "(anyio/_core/", "(sniffio/")),
    ("gateway", ("(gateway/",)),
    ("agents and their spool", ("(agent_runner/", "(anyio/")),
)
"""The first one that a frame fits. The standard library fits none: it works for whoever calls it."""
_ENTRY = ("__main__.py", "(runtime/lifecycle.py")


def area_of(frames: Sequence[str]) -> str:
    """The area of a stack (outermost frame first, as py-spy writes them)."""
    for frame in reversed(frames):
        if any(place in frame for place in _ENTRY):
            break
        for area, places in AREAS:
            if any(place in frame for place in places):
                return area
    return REST
