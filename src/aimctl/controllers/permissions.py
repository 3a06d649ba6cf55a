"""The permissions of the operator, collected from the modules that declare them.

Contract: a module of this package, or of the manager, that reads or writes objects has a constant ``PERMISSIONS``, a
tuple of :class:`~aimctl.kubetypes.permissions.Permission`. Nothing else has to be registered. The order is that of the
module names, so it is the same on every machine.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

import aimctl.controllers
from aimctl.runtime.manager import events
from aimctl.runtime.manager.leaderelection import election

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimctl.kubetypes.permissions import Permission

__all__ = ["election_permissions", "event_permissions", "reconciler_permissions"]


def reconciler_permissions() -> Iterator[Permission]:
    """Yield what the modules of this package declare."""
    package = aimctl.controllers
    for module in sorted(
        info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ):
        declared: Iterable[Permission] = getattr(import_module(module), "PERMISSIONS", ())
        yield from declared


def event_permissions() -> tuple[Permission, ...]:
    """Return what the event recorder of the manager declares."""
    return events.PERMISSIONS


def election_permissions() -> tuple[Permission, ...]:
    """Return what leader election declares; needed only in the namespace of the Lease."""
    return election.PERMISSIONS
