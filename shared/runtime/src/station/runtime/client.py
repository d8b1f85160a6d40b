"""The NATS client, deaf to nothing: unreadable headers and a broker that has just died break no other work."""

import asyncio
from typing import Any

from nats.aio.client import Client

from station.contracts.headers import CONTRACT_VERSION

__all__ = ["UNREADABLE", "PatientClient"]

UNREADABLE = "unreadable headers"
"""Stands as the contract version of such a message, so that whoever takes it refuses it."""


class PatientClient(Client):
    """Where the library's client stops reading for good, this one goes on with the next message."""

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)  # pyright: ignore[reportUnknownMemberType]
        except Exception as error:  # noqa: BLE001 - anybody may have sent them, and they may be anything
            await self._error_cb(error)
            return {CONTRACT_VERSION: UNREADABLE}

    async def _flush_pending(self, force_flush: bool = False) -> Any:  # noqa: FBT001, FBT002 - the library's signature
        """Between a broker's end and the moment it is noticed, uvloop refuses to write with a RuntimeError.

        Nothing is lost by it: what was to be sent stays pending, as while disconnected, and goes out with the next
        connection.
        """
        try:
            return await super()._flush_pending(force_flush)
        except (RuntimeError, OSError):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_result(None)
            return future
