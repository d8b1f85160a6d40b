"""What tokens cost: a file that people can replace, and behind it the price list of the model library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from station.runtime.logging import get_logger

log = get_logger("prices")
MILLION = 1_000_000


class Price(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """In US dollars."""

    input_per_million: Annotated[float, Meta(ge=0)]
    output_per_million: Annotated[float, Meta(ge=0)]


class Prices:
    """Prices by model, as ``openai/gpt-4o``. The file is read again when it has changed."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._read: int | None = None
        """When the file that was read last had been changed."""
        self._prices: dict[str, Price] = {}
        self._trouble: str | None = None

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """What the file says; None if it says nothing of the model. One that cannot be read leaves the old prices."""
        if self._file is not None:
            self._refresh(self._file)
        price = self._prices.get(model)
        if price is None:
            return None
        return (input_tokens * price.input_per_million + output_tokens * price.output_per_million) / MILLION

    def _refresh(self, file: Path) -> None:
        try:
            changed = file.stat().st_mtime_ns
            if changed == self._read:
                return
            self._prices = msgspec.json.decode(file.read_bytes(), type=dict[str, Price])
            self._read, self._trouble = changed, None
        except (OSError, msgspec.DecodeError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                hint = 'it holds {"openai/gpt-4o": {"inputPerMillion": 2.5, "outputPerMillion": 10}, …}'
                log.error("prices_unreadable", file=str(file), detail=self._trouble, hint=hint)
