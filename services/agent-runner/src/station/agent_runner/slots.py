"""How much the runner may take on: a counter of free places that can be waited for and taken several at a time."""

import asyncio


class Slots:
    """Places for attempts, from before they are fetched until their result has been answered for."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._closed = False
        self._some = asyncio.Event()
        if count:
            self._some.set()

    async def take(self, at_most: int) -> int:
        """Wait for a free place; take as many as there are, up to a limit. 0 once closed."""
        while self._free <= 0 and not self._closed:
            self._some.clear()
            await self._some.wait()
        taken = 0 if self._closed else min(self._free, at_most)
        self._free -= taken
        return taken

    def give(self, count: int = 1) -> None:
        """Hand places back."""
        self._free += count
        if self._free > 0:
            self._some.set()

    def overdraw(self) -> None:
        """Take a place that is about to be handed back."""
        self._free -= 1

    @property
    def open(self) -> bool:
        """Whether places are still given out."""
        return not self._closed

    def close(self) -> None:
        """Give out no more places."""
        self._closed = True
        self._some.set()
