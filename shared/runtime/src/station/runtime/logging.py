"""One JSON line per record, of our own code and of libraries alike, with the run's and the trace's ids where known."""

import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

__all__ = ["bound", "get_logger", "setup", "strike_out"]

LEVELS = ("debug", "info", "warning", "error")
bound = structlog.contextvars.bound_contextvars
"""``with bound(run_id=…, step_id=…):`` puts the fields on every line that is logged inside."""


def setup(service: str, format: str | None = None, level: str = "info") -> None:
    """Log to standard error from here on. ``format``: ``json``, ``console``, or None for console on a terminal."""
    console = format == "console" or (format is None and sys.stderr.isatty())
    shared, rendering = _processors(service), _rendering(console=console)
    # Our own lines go straight out: a record of the standard library for each took twice the time of all the rest.
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()], processors=[remove, *rendering]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # The client prints every failed attempt to reconnect; the bus says once that it is away.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    # … and these a line for every request of theirs; what came of it is told by whoever made it.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger: ``log.info("run_started", run_id=…)``. The first argument is what happened, in snake_case."""
    return structlog.get_logger(name)


def strike_out(redact: Callable[[str], str]) -> None:
    """Pass every finished line, of our own code and of libraries, with its stack, through this from here on."""
    _Lines.redact = staticmethod(redact)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Redacting(handler.formatter or logging.Formatter(), redact))


class _Redacting(logging.Formatter):
    """Another formatter's lines without their secrets."""

    def __init__(self, inner: logging.Formatter, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._inner = inner
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return self._redact(self._inner.format(record))


class _Lines:
    """Where the lines of one logger end: standard error, each whole and at once."""

    redact: Callable[[str], str] = staticmethod(str)

    def __init__(self, name: str = "") -> None:
        self.name = name

    def _write(self, line: str) -> None:
        # A full disk, a reader that is gone, a closed file: work goes on without the line.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(self.redact(line) + "\n")
            sys.stderr.flush()

    msg = debug = info = warning = error = critical = exception = _write


def _processors(service: str) -> list[Any]:
    def with_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        with_service,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]


def _rendering(*, console: bool) -> list[Any]:
    if console:
        return [_console()]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(serializer=_dumps),
    ]


def _console() -> structlog.dev.ConsoleRenderer:
    # Plain, because the pretty ones print the values of local variables: inputs, passwords.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(timestamp_key="ts", colors=sys.stderr.isatty(), exception_formatter=plain)


def _dumps(event: EventDict, **_options: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
