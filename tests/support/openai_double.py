"""A server that speaks the protocol of OpenAI's chat completions, and answers what a test tells it to.

Real sockets, real HTTP: tools, structured output, streams and usage, and everything that goes wrong with such servers.
It keeps what it was sent, so that a test can look at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType


class Received(Struct, frozen=True):
    """One request."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]

    @property
    def roles(self) -> list[tuple[str, Any]]:
        """Role and content of each message."""
        return [(message["role"], message.get("content")) for message in self.body["messages"]]

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """Parameters of the tools that were offered, by name."""
        functions = [tool["function"] for tool in self.body.get("tools", ())]
        return {function["name"]: function["parameters"] for function in functions}


class Reply(Struct, frozen=True, kw_only=True):
    """What is answered to one request."""

    text: str | None = None
    calls: tuple[tuple[str, dict[str, Any] | str], ...] = ()
    """Tools with their arguments; a text is sent as it is, JSON or not."""
    value: Any | UnsetType = UNSET
    """A structured answer, in the way that the request asked for it."""
    tokens: tuple[int, int] | None = (11, 7)
    """Of input and of output; None: no usage is told."""
    finish: str | None = None
    status: int = 200
    error: dict[str, Any] = {}
    headers: dict[str, str] = {}
    delay: float = 0
    """Seconds before anything is sent."""
    raw: bytes | None = None
    """The body, whatever was asked for."""
    cut: bool = False
    """The connection ends in the middle of the answer."""
    hang: bool = False
    """Nothing is ever sent."""


def refused(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error as the service words it; ``retry_after="1"`` becomes the header Retry-After."""
    error = {"message": message, "type": "error", "param": None, "code": code}
    return Reply(status=status, error=error, headers={name.replace("_", "-"): text for name, text in headers.items()})


class OpenAIDouble:
    """The server. Replies are used up in order; when none is left, ``otherwise`` answers."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.replies: deque[Reply] = deque()
        self.otherwise: Callable[[Received], Reply] = lambda _: Reply(text="hello")
        self.abandoned = asyncio.Event()
        """A client went away while it was waiting for an answer."""
        self.arrived = asyncio.Event()
        """A request came; a test clears it."""
        self.open_connections = 0
        self.url = ""
        self._serving: set[asyncio.Task[None]] = set()

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these."""
        self.replies.extend(replies)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[OpenAIDouble]:
        """Listen on a free port meanwhile."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.open_connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            self.open_connections -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        received = await _read(reader)
        self.requests.append(received)
        self.arrived.set()
        reply = self.replies.popleft() if self.replies else self.otherwise(received)
        if reply.hang or reply.delay:
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({gone}, timeout=None if reply.hang else reply.delay)
            if gone.done():
                self.abandoned.set()
                return False
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        status, kind, content = _content(reply, received.body)
        length = len(content) * 2 if reply.cut else len(content)
        headers = {"Content-Type": kind, "Content-Length": str(length), **reply.headers}
        head = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        writer.write(f"HTTP/1.1 {status} Told\r\n{head}\r\n".encode() + content)
        await writer.drain()
        return not reply.cut


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split(" ")[1], headers, json.loads(content) if content else {})


def _content(reply: Reply, body: Mapping[str, Any]) -> tuple[int, str, bytes]:
    if reply.status != 200:
        return reply.status, "application/json", json.dumps({"error": reply.error}).encode()
    kind = "text/event-stream" if body.get("stream") else "application/json"
    if reply.raw is not None:
        return 200, kind, reply.raw
    message = _message(reply, body)
    finish = reply.finish or ("tool_calls" if message.get("tool_calls") else "stop")
    if body.get("stream"):
        content = b"".join(_frames(message, finish, reply, body))
        return 200, kind, content[: len(content) // 2] if reply.cut else content
    answer = {"id": "x1", "object": "chat.completion", "created": 1, "model": body["model"], "usage": _usage(reply)}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return 200, kind, json.dumps({**answer, "choices": [choice]}).encode()


def _message(reply: Reply, body: Mapping[str, Any]) -> dict[str, Any]:
    text, calls = reply.text, list(reply.calls)
    if reply.value is not UNSET:
        names = [tool["function"]["name"] for tool in body.get("tools", ())]
        if "response_format" not in body and "final_result" in names:
            calls.append(("final_result", reply.value))
        else:
            text = json.dumps(reply.value)
    message: dict[str, Any] = {"content": text}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{len(body['messages'])}_{index}",
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for index, (name, given) in enumerate(calls)
        ]
    return message


def _usage(reply: Reply) -> dict[str, int] | None:
    if reply.tokens is None:
        return None
    taken, given = reply.tokens
    return {"prompt_tokens": taken, "completion_tokens": given, "total_tokens": taken + given}


def _frames(message: dict[str, Any], finish: str, reply: Reply, body: Mapping[str, Any]) -> list[bytes]:
    """Text in pieces of four characters; of a call its name first and then its arguments, in two halves."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    text: str = message["content"] or ""
    deltas += [{"content": text[start : start + 4]} for start in range(0, len(text), 4)]
    for index, call in enumerate(message.get("tool_calls", ())):
        given: str = call["function"]["arguments"]
        half = len(given) // 2
        deltas.append({"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in (given[:half], given[half:])
        ]
    head = {"id": "x1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    chunks: list[dict[str, Any]] = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if reply.tokens is not None:
        chunks.append({**head, "choices": [], "usage": _usage(reply)})
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
