"""Observes a service with its template, cache and InferenceService, for the services reconciler.

Two facts are kept in memory, because no object has them:
    * how long a service has waited for templates (:attr:`ServiceObserver.waits`);
    * what the API server stored when the InferenceService was last applied. A webhook may change it, and that must not
      be overwritten. After a restart it is applied once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.api import kinds
from aimctl.controllers.execution.executor import Observed
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.domain.services.observation import DeploymentObservation
from aimctl.domain.services.resolution import name_to_derive, reported_rejection, resolve
from aimctl.domain.services.runtime import fingerprint
from aimctl.domain.services.selection import choose
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.permissions import observes

if TYPE_CHECKING:
    from aimctl.controllers.options import OperatorOptions
    from aimctl.controllers.services.observer import ServiceObserver
    from aimctl.domain.plan import Known, Plan
    from aimctl.runtime.controller import Request

__all__ = ["DeploymentObserver"]

PERMISSIONS = observes(kinds.INFERENCE_SERVICES, reason="report the state of the runtime of a service")


@final
class DeploymentObserver:
    """Observes services for :func:`~aimctl.domain.services.decision.decide_service`.

    Args:
        services: what both reconcilers of services observe.
        options: the operator's.
    """

    def __init__(self, services: ServiceObserver, options: OperatorOptions) -> None:
        self._services = services
        self._cache = services.cache
        self._admitted: dict[Request, str] = {}
        self._cache.declare(kinds.TEMPLATE_CACHES, namespaces=options.namespaces)
        self._runtime = self._cache.declare(
            kinds.INFERENCE_SERVICES, namespaces=options.namespaces, optional=True
        )

    @property
    def kserve_served(self) -> bool:
        """Whether the API server serves InferenceServices."""
        return self._runtime.served

    def observe(self, request: Request, known: Known) -> Observed[DeploymentObservation] | None:
        """The service of this key and what it uses; None if it does not exist."""
        service = self._services.observe(request, known)
        if service is None:
            return None
        namespace, name = request.namespace, runtime_name(request.name, request.namespace)
        choice = choose(service)
        derived = name_to_derive(service, choice)
        holder = self._cache.get(kinds.TEMPLATES, derived, namespace) if derived else None
        resolution = resolve(service, choice, holder, reported_rejection(service))
        template = resolution.template
        stored = known.response(kinds.INFERENCE_SERVICES, namespace, name) if name else None
        if stored is not None:
            self._admitted[request] = fingerprint(stored)
        return Observed(
            service.obj,
            DeploymentObservation(
                service=service,
                resolution=resolution,
                template_cache=None
                if template is None
                else self._cache.get(kinds.TEMPLATE_CACHES, template.meta.name, namespace),
                inference_service=self._runtime.store.get(ObjectKey(namespace, name)) if name else None,
                kserve_served=self.kserve_served,
                admitted=self._admitted.get(request, ""),
            ),
        )

    def settled(
        self, request: Request, observed: Observed[DeploymentObservation] | None, _: Plan | None
    ) -> None:
        """Keep the waits that have not ended, and drop the state of a service that no longer exists."""
        if observed is None:
            self._admitted.pop(request, None)
            self._services.waits.keep(request, ())
        else:
            self._services.waits.keep(request, observed.seen.resolution.choice.awaits)
