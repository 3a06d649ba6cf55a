"""The names by which users refer to the operator's kinds, and by which commands refer to objects.

All names come from the definitions in :mod:`aimctl.api`.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import KINDS
from aimctl.api.v1alpha1 import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.generation import CustomKind

__all__ = ["did_you_mean", "find_kind", "noun", "short_name", "summary_of"]


def find_kind(word: str) -> CustomKind[Any] | None:
    """The kind with this name in any case, plural, short name, or ``plural.group``."""
    text = word.lower().removesuffix(f".{GROUP}")
    for kind in KINDS:
        if text in {kind.name.lower(), kind.plural, *kind.short_names}:
            return kind
    return None


def short_name(kind: str) -> str:
    """The word for this kind after ``kubectl get``: its short name, or the lower-case kind if the operator has none."""
    found = find_kind(kind)
    return found.short_names[0] if found is not None else kind.lower()


def summary_of(kind: CustomKind[Any]) -> str:
    """What the kind is, in one sentence."""
    return (kind.view.__doc__ or "").partition("\n")[0]


def noun(kind: str) -> str:
    """The kind as a noun in a sentence: ``cluster template`` for AIMClusterServiceTemplate."""
    word = kind.removeprefix("AIM").replace("ServiceTemplate", "Template")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).lower()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the most similar of the known names, at most three; "" if none is similar.

    Similar is what :func:`difflib.get_close_matches` finds with its default cut-off.
    """
    found = difflib.get_close_matches(name, sorted(set(known)))
    if not found:
        return ""
    return f"did you mean {' or '.join(repr(one) for one in found)}?"
