"""The agent port-probe: opens one TCP connection and closes it.

A port that does not answer fails the attempt, so that the workflow's `retry` can tell a service that is just
restarting from one that is down.
"""

import socket
import time

from agent_io import answer, fail, read_request, variables_of

_SECONDS = 2


def main() -> None:
    """Answer with the time it took to connect."""
    variables = variables_of(read_request())
    host, port = variables["host"], variables["port"]
    start = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        fail(f"{host}:{port} does not answer: {error.strerror or error}")
    milliseconds = round((time.monotonic() - start) * 1000, 1)
    text = f"answers after {milliseconds} ms"
    answer({"open": True, "text": text, "host": host, "port": port, "milliseconds": milliseconds})


if __name__ == "__main__":
    main()
