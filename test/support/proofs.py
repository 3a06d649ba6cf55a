"""Random scenarios with a small budget for ``make test`` and a large one for ``make test-proofs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

__all__ = ["seeds"]


def seeds(total: int, *, quick: int = 1) -> list[int | ParameterSet]:
    """The seeds from 0 to ``total - 1``. All but the first ``quick`` ones are marked ``proof``."""
    return [seed if seed < quick else pytest.param(seed, marks=pytest.mark.proof) for seed in range(total)]
