"""Events that plans record. An Event reports something that happened; what holds for a while is a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

__all__ = ["PlannedEvent"]


@final
@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """A Kubernetes Event about the object that was decided about.

    Attributes:
        type: Normal or Warning.
        reason: one CamelCase word.
        message: a sentence.
    """

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
