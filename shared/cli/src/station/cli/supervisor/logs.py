"""The output of all children as one stream, and each child's own in a file of bounded size."""

import logging
import re
import sys
from collections import defaultdict, deque
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec
from rich.text import Text

from station.cli.output import console, plain

FILE_BYTES, OLD_FILES = 10 * 1024 * 1024, 1
TAIL_LINES = 12
COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan")
LEVELS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}
NAME_WIDTH = 16
CHATTY = frozenset({"nats-server"})
"""Only their warnings and errors are in the stream; their files have everything."""
NOT_SHOWN = frozenset({"ts", "level", "service", "message", "event", "logger"})

_BROKER_LINE = re.compile(r"\[\d+\] \S+ \S+ \[(?P<level>[A-Z]{3})\] (?P<message>.*)")
_BROKER_LEVELS = {"INF": "info", "WRN": "warning", "ERR": "error", "FTL": "error", "DBG": "debug", "TRC": "debug"}

Stream = Literal["console", "json", "none"]


class LogSink:
    """Takes lines by name of their process."""

    def __init__(self, directory: Path, stream: Stream, out: TextIO | None = None) -> None:
        """``stream``: how lines go to ``out`` (stdout); ``none`` writes files only."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self._stream = stream
        self._out = out or sys.stdout
        self._console = console()
        self._files: dict[str, RotatingFileHandler] = {}
        self._colours: dict[str, str] = {}
        self._tails: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=TAIL_LINES))

    def file(self, name: str) -> Path:
        """Where a process's lines are kept."""
        return self.directory / f"{name}.log"

    def line(self, name: str, text: str) -> None:
        """One line that the process has written."""
        self._write(name, text)
        self._tails[name].append(text)
        if self._stream == "none":
            return
        record = _record(name, text)
        if name in CHATTY and record.get("level") == "info":
            return
        try:
            if self._stream == "json":
                self._out.write(msgspec.json.encode(record).decode() + "\n")
                self._out.flush()
            else:
                self._console.print(self._coloured(name, record))
        except OSError:
            # Whoever read the stream has gone; the files still tell everything.
            self._stream = "none"

    def notice(self, message: str, level: str = "info", **fields: Any) -> None:
        """Something the supervisor itself has to say."""
        record = {"ts": _now(), "service": "stn", "level": level, "message": message, **fields}
        self.line("stn", msgspec.json.encode(record).decode())

    def tail(self, name: str) -> list[str]:
        """The last lines that a process has written since this sink exists, oldest first, as a person reads them."""
        return [_words(_record(name, line)) for line in self._tails[name]]

    def close(self) -> None:
        """Close every file."""
        for handler in self._files.values():
            handler.close()
        self._files.clear()

    def _write(self, name: str, text: str) -> None:
        handler = self._files.get(name)
        if handler is None:
            handler = RotatingFileHandler(self.file(name), maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")
            self._files[name] = handler
        handler.emit(logging.makeLogRecord({"msg": text}))

    def _coloured(self, name: str, record: dict[str, Any]) -> Text:
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        level = str(record.get("level", "info"))
        moment = str(record.get("ts", ""))[11:23]
        return Text.assemble(
            (f"{moment:<12} ", "dim"), (f"{name:<{NAME_WIDTH}} ", colour), (_words(record), LEVELS.get(level, ""))
        )


def _record(name: str, line: str) -> dict[str, Any]:
    """A line as a record: as it is if it is one, the broker's and any other text wrapped."""
    if line.startswith("{"):
        try:
            return {"service": name, **msgspec.json.decode(line, type=dict[str, Any])}
        except msgspec.DecodeError:
            pass
    found = _BROKER_LINE.fullmatch(line)
    level = _BROKER_LEVELS.get(found["level"], "info") if found else "info"
    return {"ts": _now(), "service": name, "level": level, "message": found["message"] if found else line}


def _words(record: dict[str, Any]) -> str:
    message = str(record.get("message") or record.get("event") or "")
    fields = (f"{key}={_value(value)}" for key, value in record.items() if key not in NOT_SHOWN and value is not None)
    return plain("  ".join([message, *fields]))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
