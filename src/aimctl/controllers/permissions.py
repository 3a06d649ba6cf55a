"""The permissions of the operator, collected from the modules that declare them.

Contract: a module of this package that reads or writes objects has a constant ``PERMISSIONS``, a tuple of
:class:`~aimctl.kubetypes.permissions.Permission`. Nothing else has to be registered. The order is that of the module
names, so it is the same on every machine.

The manager itself needs ``EVENT_PERMISSIONS`` and ``lease_permissions`` of :mod:`aimctl.runtime`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

import aimctl.controllers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimctl.kubetypes.permissions import Permission

__all__ = ["reconciler_permissions"]


def reconciler_permissions() -> Iterator[Permission]:
    """Yield what the modules of this package declare."""
    package = aimctl.controllers
    for module in sorted(
        info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ):
        declared: Iterable[Permission] = getattr(import_module(module), "PERMISSIONS", ())
        yield from declared
