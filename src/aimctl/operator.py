"""The AIM operator as a component of a manager of another program.

Contract: :func:`add_operator` is a setup function, like that of an extension. It adds the controllers, metrics and
debug pages of the operator, and its requirements: the CRDs of its kinds and its permissions. ``run`` checks them before
the start, and ``--print-manifests`` prints them.

``aimctl manager`` is the program that runs only the operator and its extensions.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from aimctl.api.kinds import KINDS
from aimctl.controllers.operator import add_controllers
from aimctl.controllers.options import OperatorOptions
from aimctl.controllers.permissions import reconciler_permissions

if TYPE_CHECKING:
    from aimctl.runtime.manager import Manager

__all__ = ["OperatorOptions", "add_operator"]


def add_operator(manager: Manager, options: OperatorOptions | None = None) -> None:
    """Add the AIM operator to a manager, with its CRDs and permissions.

    Call it before ``manager.run()``, before or after your own setup functions. The operator declares its kinds in a
    scope of its own, so other components may declare the same kinds in other ways.

    Args:
        manager: runs the operator.
        options: of the operator; None for the defaults. Without ``watch_namespaces`` it watches those of the manager.

    Raises:
        ValueError: the manager has namespaces that do not include those of the operator; or it has a controller with a
            name of the operator, or the operator already.
    """
    options = options or OperatorOptions()
    watched = manager.options.namespaces
    if watched and not options.watch_namespaces:
        options = dataclasses.replace(options, watch_namespaces=watched)
    missing = [one for one in options.namespaces if watched and one not in watched]
    if missing:
        raise ValueError(
            f"the operator needs the namespaces {', '.join(missing)}, which the manager does not watch: add them to"
            " --watch-namespace or ManagerOptions.namespaces, or choose another operator_namespace"
        )
    add_controllers(manager, options)
    manager.requirements.add_crds(*(kind.crd() for kind in KINDS))
    manager.requirements.add_permissions(*reconciler_permissions())
