"""Waiting for other processes, which no virtual clock can move."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["eventually"]


def eventually(
    condition: Callable[[], Any], seconds: float, what: str, *, otherwise: Callable[[], Any] | None = None
) -> Any:
    """Ask until the answer is true and return it; fail with ``what`` (and what ``otherwise`` says) after ``seconds``.

    The pause between two calls is 0.1 s, or twice the time of a call if that is longer, but at most 1 s. So an expensive
    condition leaves most of the CPU to the processes that it waits for.
    """
    end = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        answer = condition()
        if answer:
            return answer
        now = time.monotonic()
        if now > end:
            more = f": {otherwise()}" if otherwise is not None else ""
            raise AssertionError(f"not within {seconds:g} s: {what}{more}")
        time.sleep(min(max(0.1, 2 * (now - begun)), 1.0))
