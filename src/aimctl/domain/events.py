"""Events that plans record. An Event reports something that happened; what holds for a while is a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

__all__ = ["NEEDS_ACTION", "PlannedEvent", "event_type"]

NEEDS_ACTION = frozenset(
    {
        "CacheFailed",
        "CacheNameTaken",
        "CacheRefused",
        "DerivationRefused",
        "DerivedNameTaken",
        "GPUNotAvailable",
        "ModelAmbiguous",
        "ModelNameTaken",
        "ModelNotFound",
        "ModelRefused",
        "RuntimeConfigNotFound",
        "RuntimeNotInstalled",
        "RuntimeRefused",
        "TemplateNotFound",
        "TemplateUnreadable",
    }
)
"""Reasons of ``Ready`` that remain until a user acts, in states that are not failures."""


def event_type(reason: str, *, failed: bool) -> Literal["Normal", "Warning"]:
    """The type of the Event about a new state with this reason."""
    return "Warning" if failed or reason in NEEDS_ACTION else "Normal"


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
