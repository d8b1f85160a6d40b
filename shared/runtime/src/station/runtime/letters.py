"""A message that a service cannot use: the scheduler keeps it, and only then the stream forgets it."""

import contextlib

from nats import errors as nats_errors
from nats.aio.msg import Msg

from station.contracts import subjects
from station.contracts.work import MOST_BODY_BYTES, Done, KeepLetter
from station.runtime.bus import Bus
from station.runtime.errors import Refused, Unavailable, Undecodable
from station.runtime.logging import get_logger

__all__ = ["set_aside"]

log = get_logger("letters")
_LONGEST_PAUSE_SECONDS = 30


async def set_aside(bus: Bus, message: Msg, why: str) -> bool:
    """Have a message of the task stream kept as a dead letter, and take it out of the stream.

    False while the scheduler does not take it: then it stays in the stream, and comes again after a pause that grows.
    """
    body = message.data
    letter = KeepLetter(subject=message.subject, body=body[:MOST_BODY_BYTES], size=len(body), reason=why)
    try:
        await bus.request(subjects.LETTER_KEEP, letter, Done)
    except (Refused, Unavailable, Undecodable) as error:
        log.warning("message_not_set_aside", subject=message.subject, detail=f"{error}; it comes again later")
        await _tell(message, min(2 ** (message.metadata.num_delivered - 1), _LONGEST_PAUSE_SECONDS))
        return False
    log.error("message_set_aside", subject=message.subject, detail=why)
    await _tell(message, None)
    return True


async def _tell(message: Msg, pause: int | None) -> None:
    """Tell the broker; if it is away, the message comes again by itself."""
    with contextlib.suppress(nats_errors.Error):
        await (message.term() if pause is None else message.nak(delay=pause))
