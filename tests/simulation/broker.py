"""The stream of tasks: a work queue, one message per subject, discard-new, redelivery; its disk may be wiped."""

from __future__ import annotations

from station.contracts.work import StepTask
from tests.simulation.world import Away, World

ACK_WAIT_MS = 30_000


class Message:
    """A task in the stream."""

    def __init__(self, subject: str, task: StepTask, visible_at: int) -> None:
        self.subject = subject
        self.task = task
        self.visible_at = visible_at

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task.run_id, self.task.step_id, self.task.attempt


class Broker:
    """Keeps tasks until they are acknowledged."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.messages: dict[str, Message] = {}
        self.there = True

    def publish(self, subject: str, task: StepTask, *, replaces: bool) -> None:
        """Take a task; one whose subject is taken already is thrown away. Raises Away without a stream."""
        if not self.there:
            raise Away
        if replaces:
            self.messages.pop(subject, None)
        if subject not in self.messages:
            self.messages[subject] = Message(subject, task, self._world.now)

    def fetch(self, count: int) -> list[Message]:
        """Deliver what is visible, in any order; a delivery may get lost or come twice."""
        visible = [message for message in self.messages.values() if message.visible_at <= self._world.now]
        self._world.random.shuffle(visible)
        delivered: list[Message] = []
        for message in visible[:count]:
            twice = self._world.chance(0.05)
            message.visible_at = self._world.now + (0 if twice else ACK_WAIT_MS)
            if not self._world.chance(0.05):
                delivered.append(message)
        return delivered

    def ack(self, message: Message) -> None:
        """Forget a message, unless another one has taken its place."""
        if self.messages.get(message.subject) is message and not self._world.chance(0.05):
            del self.messages[message.subject]

    def delay(self, message: Message, delay_ms: int) -> None:
        """Deliver a message again after a while."""
        message.visible_at = self._world.now + delay_ms

    def release_all(self) -> None:
        """Forget who has fetched what: the consumer was made anew."""
        for message in self.messages.values():
            message.visible_at = self._world.now

    def wipe(self) -> None:
        """Lose everything, the stream itself included."""
        self.messages.clear()
        self.there = False
