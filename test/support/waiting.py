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
    """Ask until the answer is true and return it; fail with ``what`` (and what ``otherwise`` says) after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            more = f": {otherwise()}" if otherwise is not None else ""
            raise AssertionError(f"not within {seconds:g} s: {what}{more}")
        time.sleep(0.1)
