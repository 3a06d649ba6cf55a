"""Events: what is told once, when it happens; what holds for a while is said by conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

__all__ = ["EventWish"]


@final
@dataclass(frozen=True, slots=True)
class EventWish:
    """A Kubernetes Event to record about the object that was decided on."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
