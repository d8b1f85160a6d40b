"""The agent notification-sender: appends the message to an outbox file in place of sending it.

A step's message is in the outbox once, however often the step is done.
"""

import json
import time
from pathlib import Path

from agent_io import action_key, answer, fail, read_request, variables_of
from work_dir import append_line, locked, work_dir


def main() -> None:
    """Answer with the id of the message and where it has gone."""
    request = read_request()
    variables, key = variables_of(request), action_key(request)
    body = variables.get("message") or variables.get("summary") or request.get("task")
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    directory = work_dir()
    outbox = directory / "outbox.jsonl"
    channel = variables["channel"]
    try:
        with locked(directory):
            if not _is_in(outbox, key):
                append_line(outbox, {"id": key, "time": round(time.time(), 3), "channel": channel, "text": text})
    except OSError as error:
        fail(f"cannot write to {outbox}: {error.strerror}")
    answer({"sent": True, "channel": channel, "text": text, "messageId": key, "outbox": str(outbox)})


def _is_in(outbox: Path, key: str) -> bool:
    if not outbox.exists():
        return False
    with outbox.open(encoding="utf-8") as lines:
        return any(line.startswith(f'{{"id": "{key}",') for line in lines)


if __name__ == "__main__":
    main()
