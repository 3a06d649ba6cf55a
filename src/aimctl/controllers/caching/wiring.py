"""The reconcilers of caching, added to the manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.controllers.caching.model_caches import add_model_caches
from aimctl.controllers.caching.template_caches import add_template_caches
from aimctl.controllers.caching.warming import add_warming

if TYPE_CHECKING:
    from aimctl.controllers.operator_context import OperatorContext

__all__ = ["add_caching", "add_template_caching"]


def add_caching(context: OperatorContext) -> None:
    """Add the reconcilers of template caches and model caches, and the one that warms templates."""
    add_template_caching(context)
    add_model_caches(context)


def add_template_caching(context: OperatorContext) -> None:
    """Add the reconcilers that request model caches, without those that fill them."""
    add_warming(context)
    add_template_caches(context)
