"""How many objects the operator takes out of its caches, and who takes them, without touching any of its code.

with Reads() as reads:
    ...
reads.by_caller
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from aimctl.runtime.cache.cache import Cache
from aimctl.runtime.cache.storage.store import Store

if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType

__all__ = ["Reads"]

_ROOM = "aimctl/controllers/"


class Reads:
    """Counts what :class:`~aimctl.runtime.cache.storage.store.Store` hands out to controllers, while entered."""

    def __init__(self) -> None:
        self.by_caller: Counter[str] = Counter()
        """Objects by the function that took them, ``file:function``."""
        self._readings: set[CodeType] = {
            Store.get.__code__,
            Store.by_index.__code__,
            Store.list.__code__,
            Store.__iter__.__code__,
        }
        self._between: set[CodeType] = {Cache.get.__code__, Cache.by_index.__code__, Cache.list.__code__}

    def __enter__(self) -> Self:
        sys.setprofile(self._see)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, result: Any) -> None:
        if event != "return" or frame.f_code not in self._readings:
            return
        caller = frame.f_back
        while caller is not None and caller.f_code in self._between | self._readings:
            caller = caller.f_back
        if caller is None or _ROOM not in caller.f_code.co_filename:
            return
        many = frame.f_code in {Store.by_index.__code__, Store.list.__code__}
        where = f"{caller.f_code.co_filename.rpartition(_ROOM)[2]}:{caller.f_code.co_name}"
        self.by_caller[where] += (0 if result is None else len(result)) if many else 1
