"""The broker: a work queue of tasks, a stream of events, and the connection over which the relay reaches them.

Of tasks there is one message per subject, discard-new; what is not acknowledged is delivered again. Its disk may be
wiped, acknowledgements get lost, and a connection that breaks loses what was on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from nats import errors as nats_errors

from station.contracts.work import StepTask
from tests.simulation.process import Process
from tests.simulation.world import World

ACK_WAIT_MS = 30_000
_TAKEN = b'{"error": {"err_code": 10077, "description": "maximum messages per subject exceeded"}}'
_TASKS = "wf.task.step."
_EVENTS = "wf.event."


class Message:
    """A task in the stream."""

    def __init__(self, subject: str, task: StepTask, visible_at: int) -> None:
        self.subject = subject
        self.task = task
        self.visible_at = visible_at
        self.deliveries = 0

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task.run_id, self.task.step_id, self.task.attempt


class Ack(NamedTuple):
    """What the relay is told of a message: the three things it looks at."""

    subject: str
    data: bytes
    headers: dict[str, str] | None


class Broker:
    """Keeps tasks until they are acknowledged."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.messages: dict[str, Message] = {}
        self.events: set[str] = set()
        """Identities of all events that were ever published while there was a stream, or at the wrong moment for it."""
        self.there = True

    def take(self, subject: str, body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str] | None]:
        """Take a published message; give the acknowledgement."""
        if subject.startswith(_EVENTS):
            self.events.add(headers["Nats-Msg-Id"])
        if not self.there:
            return b"", {"Status": "503"}
        if subject.startswith(_TASKS):
            if subject in self.messages:
                return _TAKEN, None
            self.messages[subject] = Message(subject, msgspec.msgpack.decode(body, type=StepTask), self._world.now)
        return b'{"stream": "S", "seq": 1}', None

    def fetch(self, count: int) -> list[Message]:
        """Deliver what is visible, in any order; a delivery may get lost or come twice."""
        if not self.messages or not self._world.connected:
            return []
        visible = [message for message in self.messages.values() if message.visible_at <= self._world.now]
        self._world.random.shuffle(visible)
        delivered: list[Message] = []
        for message in visible[:count]:
            message.deliveries += 1
            self._world.troubles["redelivery"] += message.deliveries > 1
            twice = self._world.chance(0.05, "task delivered twice")
            message.visible_at = self._world.now + (0 if twice else ACK_WAIT_MS)
            if not self._world.chance(0.05, "delivery lost"):
                delivered.append(message)
        return delivered

    def ack(self, message: Message) -> None:
        """Forget a message, unless another one has taken its place."""
        if self.messages.get(message.subject) is message and not self._world.chance(0.05, "task not acknowledged"):
            del self.messages[message.subject]

    def delay(self, message: Message, delay_ms: int) -> None:
        """Deliver a message again after a while."""
        message.visible_at = self._world.now + delay_ms

    def release_all(self) -> None:
        """Forget who has fetched what: the consumer was made anew."""
        for message in self.messages.values():
            message.visible_at = self._world.now

    def wipe(self) -> None:
        """Lose everything, the streams themselves included."""
        self.messages.clear()
        self.there = False


class Connection:
    """What the relay uses of ``station.runtime.bus.Bus``, and of its client and its JetStream context."""

    max_payload = 1024 * 1024

    def __init__(self, world: World, broker: Broker, process: Process) -> None:
        self._world, self._broker, self._process = world, broker, process
        self._told: dict[str, Callable[[Any], Awaitable[None]]] = {}
        self._broke: list[Callable[[], None]] = []
        self._came_back: list[Callable[[], None]] = []
        self._arrives_at = 0
        self._number = 0
        self.nc = self.js = self

    @property
    def connected(self) -> bool:
        return self._world.connected

    def on_disconnect(self, call: Callable[[], None]) -> None:
        self._broke.append(call)

    def on_reconnect(self, call: Callable[[], None]) -> None:
        self._came_back.append(call)

    def break_down(self) -> None:
        """The network was cut: everything on its way is lost."""
        self._number += 1
        for call in self._broke:
            self._process.call_soon(call)
        self._world.after(self._world.cut_until - self._world.now, self._restore)

    def _restore(self) -> None:
        if self.connected:
            for call in self._came_back:
                self._process.call_soon(call)

    def new_inbox(self) -> str:
        return "_INBOX.relay"

    async def subscribe(self, subject: str, cb: Callable[[Any], Awaitable[None]]) -> None:
        self._told[subject.removesuffix("*")] = cb

    async def publish(self, subject: str, body: bytes, reply: str, headers: dict[str, str]) -> None:
        """Messages of one connection arrive in the order in which they are sent."""
        await asyncio.sleep(0)
        if not self.connected:
            raise nats_errors.ConnectionClosedError
        number = self._number
        self._arrives_at = max(self._arrives_at, self._world.now + self._world.random.randrange(1, 30))
        self._world.after(
            self._arrives_at - self._world.now, lambda: self._arrive(number, subject, body, reply, headers)
        )

    def _arrive(self, number: int, subject: str, body: bytes, reply: str, headers: dict[str, str]) -> None:
        if number != self._number:
            return
        data, answer = self._broker.take(subject, body, headers)
        if reply and not self._world.chance(0.05, "acknowledgement lost"):
            ack = Ack(reply, data, answer)
            self._world.after(self._world.random.randrange(1, 30), lambda: self._tell(number, ack))

    def _tell(self, number: int, ack: Ack) -> None:
        for prefix, call in self._told.items():
            if number == self._number and ack.subject.startswith(prefix) and not self._process.dead:
                self._process.spawn(call(ack))  # pyright: ignore[reportArgumentType]

    async def purge_stream(self, _stream: str, *, subject: str) -> None:
        """Take the message of a subject away."""
        await asyncio.sleep(0.002)
        if not self.connected or not self._broker.there:
            raise TimeoutError
        self._broker.messages.pop(subject, None)
