"""Scenarios with a small budget for ``make test`` and a large one for ``make test-proofs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.mark import ParameterSet

__all__ = ["seeds", "variants"]


def variants(values: Sequence[Any], *, quick: int = 1) -> list[Any | ParameterSet]:
    """Variants of one scenario. All but the first ``quick`` ones are marked ``proof``. A tuple has several arguments."""
    later = (value if isinstance(value, tuple) else (value,) for value in values[quick:])
    return [*values[:quick], *(pytest.param(*each, marks=pytest.mark.proof) for each in later)]


def seeds(total: int, *, quick: int = 1) -> list[int | ParameterSet]:
    """The seeds from 0 to ``total - 1``. All but the first ``quick`` ones are marked ``proof``."""
    return variants(range(total), quick=quick)
