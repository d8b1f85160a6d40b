"""Answers larger than one message: sent in several, in order, to who has said that it puts them together."""

from collections.abc import Mapping

from station.contracts.headers import PART, PARTS

MOST_PARTS = 32
"""The broker's rights let a service answer a request with as many messages (``allow_responses``)."""
TAKES_PARTS = {PARTS: str(MOST_PARTS)}
_HEADER_BYTES = 1024


def room(max_payload: int) -> int:
    """How many bytes of a body one message carries beside its headers."""
    return max(1, max_payload - _HEADER_BYTES)


def taken(headers: Mapping[str, str] | None) -> bool:
    """Whether the sender of a request takes its answer in parts."""
    return headers is not None and PARTS in headers


def split(body: bytes, size: int) -> list[tuple[bytes, dict[str, str]]]:
    """Cut a body into parts of at most ``size`` bytes, each with the header that says its place; none if too many."""
    count = -(-len(body) // size)
    if count > MOST_PARTS:
        return []
    return [(body[at * size : (at + 1) * size], {PART: f"{at + 1}/{count}"}) for at in range(count)]


class Joining:
    """The parts of one answer that have come so far."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, place: str, part: bytes) -> bytes | None:
        """Take the next part; give the whole once it is the last.

        Raises:
            ValueError: one before it has not come.
        """
        number, _, count = place.partition("/")
        if int(number) != len(self._parts) + 1:
            message = f"part {place} came after {len(self._parts)} parts"
            raise ValueError(message)
        self._parts.append(part)
        return b"".join(self._parts) if number == count else None
