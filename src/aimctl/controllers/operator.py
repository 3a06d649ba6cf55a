"""Adds the operator to a manager. The ``wiring`` modules of each area list its reconcilers and their events.

:mod:`aimctl.operator` is the public entry for other programs.

The operator uses the public API of the library, ``aimctl.runtime.__all__``, as other operators do; see
``docs/examples``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.controllers.caching.wiring import add_caching
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.models.wiring import add_models
from aimctl.controllers.operator_context import OperatorContext
from aimctl.controllers.options import OperatorOptions
from aimctl.controllers.services.wiring import add_services
from aimctl.controllers.status_sections import add_status_sections
from aimctl.controllers.templates.wiring import add_templates

if TYPE_CHECKING:
    from aimctl.controllers.models.registry import ImageRegistry
    from aimctl.controllers.templates.admission import DiscoveryAdmission
    from aimctl.runtime.manager import Manager

__all__ = ["OperatorOptions", "add_controllers"]

_ONE_OF_ITS_CONTROLLERS = "modelcaches"


def add_controllers(
    manager: Manager, options: OperatorOptions, registry: ImageRegistry | None = None
) -> DiscoveryAdmission:
    """Add the controllers, metrics and debug pages of the operator to a manager; returns discovery admission.

    Call it before ``manager.run()``. The operator declares its kinds in a scope of its own, so other components of the
    manager may declare the same kinds in other ways.

    Args:
        manager: runs the operator.
        options: of the operator.
        registry: reads images; by default from the registries over HTTPS, or from the mirrors of the options.

    Raises:
        ValueError: the manager has the operator already, or a controller with a name of the operator.
    """
    if _ONE_OF_ITS_CONTROLLERS in manager.controllers:
        raise ValueError("the manager has the AIM operator already: add it once")
    metrics = OperatorMetrics(manager.metrics.registry, now=manager.clock.now, leads=manager.elected.is_set)
    manager = manager.scope("operator")
    context = OperatorContext(manager, options, metrics)
    admission = add_templates(context)
    add_caching(context)
    add_services(context)
    add_models(context, registry)
    manager.add_debug_page("discovery", admission.queue)
    add_status_sections(manager, admission, options.discovery_limit)
    return admission
