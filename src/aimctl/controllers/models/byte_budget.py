"""A budget of bytes that concurrent reads share.

Contract: shares are granted in the order of the requests, so a large one is not passed over for ever. A share is
returned when its context ends, also by cancellation.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["ByteBudget", "Share"]


@final
class ByteBudget:
    """A number of bytes.

    Args:
        total: must be at least the largest share.
    """

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def in_use(self) -> int:
        """Bytes that are reserved."""
        return self._total - self._free

    @asynccontextmanager
    async def share(self) -> AsyncIterator[Share]:
        """A share of no bytes, which is returned at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._give_back(share.size)

    async def take(self, size: int) -> None:
        """Wait until ``size`` bytes are free, and take them.

        Raises:
            ValueError: the budget is smaller.
        """
        if size > self._total:
            raise ValueError(f"{size} bytes exceed the budget of {self._total}")
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        entry = (size, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._grant()
            elif not entry[1].cancelled():
                self._give_back(size)
            raise

    def _give_back(self, size: int) -> None:
        self._free += size
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            size, granted = self._waiting[0]
            if granted.cancelled():
                # Its task is about to remove it.
                self._waiting.popleft()
            elif size <= self._free:
                self._waiting.popleft()
                self._free -= size
                granted.set_result(None)
            else:
                return


@final
class Share:
    """Part of a budget; see :meth:`ByteBudget.share`."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.size: int = 0

    async def reserve(self, size: int) -> None:
        """Wait until the share has ``size`` bytes; it does nothing if it has some already."""
        if not self.size:
            await self._budget.take(size)
            self.size = size
