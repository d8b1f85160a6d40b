"""The NATS client, deaf to nothing: headers that cannot be read belong to one message and end no connection."""

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
