"""Observes services and derived templates, for the two reconcilers of derivation."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.api import kinds
from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.controllers.execution.executor import Observed
from aimctl.controllers.indexes.derivation import DERIVED_INDEXES, OVERRIDES_INDEXES
from aimctl.controllers.services.elapsed import ElapsedTimes
from aimctl.domain.resolution import Resolved
from aimctl.domain.services.derivation.decision import DerivationObservation
from aimctl.domain.services.derivation.derived_template import base_name
from aimctl.domain.services.derivation.unowned import UnownedObservation, is_unowned
from aimctl.domain.services.resolution import name_to_derive, rejection_message, resolve
from aimctl.domain.services.selection import choose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.controllers.options import OperatorOptions
    from aimctl.controllers.services.observer import ServiceObserver
    from aimctl.domain.plan import Known, Plan
    from aimctl.domain.services.choice import Choice
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["DerivationObserver", "UnownedObserver"]


@final
class DerivationObserver:
    """Observes services for :func:`~aimctl.domain.services.derivation.decision.decide_derivation`.

    Args:
        services: what both reconcilers of services observe.
        options: the operator's.
    """

    def __init__(self, services: ServiceObserver, options: OperatorOptions) -> None:
        self._services = services
        self._cache = services.cache
        self._cache.declare(kinds.TEMPLATES, namespaces=options.namespaces, indexes=DERIVED_INDEXES)
        self._cache.declare(kinds.SERVICES, namespaces=options.namespaces, indexes=OVERRIDES_INDEXES)

    def observe(self, request: Request, known: Known) -> Observed[DerivationObservation] | None:
        """The service of this key and the derived templates that concern it; None if it does not exist."""
        service = self._services.observe(request, known)
        if service is None:
            return None
        choice, namespace = choose(service), request.namespace
        name = name_to_derive(service, choice)
        holder = self._cache.get(kinds.TEMPLATES, name, namespace) if name else None
        resolution = resolve(service, choice, holder, _rejection(service, choice, name))
        owned = tuple(self._cache.by_index(kinds.TEMPLATES, "service-owner", service.obj.meta.uid))
        derived = (*owned, *service.templates, *([service.named] if service.named else ()))
        return Observed(
            service.obj,
            DerivationObservation(
                service=service,
                resolution=resolution,
                holder=holder,
                owned=owned,
                bases=dict(self._bases(derived, namespace)),
                template_config=self._runtime_config(resolution.base, namespace),
            ),
        )

    def _bases(self, derived: Iterable[Template], namespace: str) -> Iterable[tuple[str, Template]]:
        for name in filter(None, set(map(base_name, derived))):
            base = self._services.template(name, namespace)
            if base is not None:
                yield name, base

    def _runtime_config(self, base: Template | None, namespace: str) -> RuntimeConfigSpec:
        if base is None:
            return RuntimeConfigSpec()
        found = self._services.runtime_config(base.view.spec.runtime_config_name, namespace)
        return found.spec if isinstance(found, Resolved) else RuntimeConfigSpec()


def _rejection(service: ServiceObservation, choice: Choice, name: str) -> str:
    rejection = service.known.rejection(kinds.TEMPLATES, service.namespace, name)
    if rejection is None or choice.template is None:
        return ""
    return rejection_message(name, choice.template, rejection)


@final
class UnownedObserver:
    """Observes namespaced templates for :func:`~aimctl.domain.services.derivation.unowned.decide_unowned`.

    Args:
        cache: where the templates are.
        clock: for the time without an owner.
    """

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._times = ElapsedTimes(clock)

    def observe(self, request: Request, _: Known) -> Observed[UnownedObservation] | None:
        """The template of this key; None if it does not exist."""
        template = self._cache.get(kinds.TEMPLATES, request.name, request.namespace)
        if template is None:
            return None
        seconds = self._times.of(request).get(template.meta.uid, 0.0)
        return Observed(template, UnownedObservation(template, seconds))

    def settled(
        self, request: Request, observed: Observed[UnownedObservation] | None, _: Plan | None
    ) -> None:
        """Keep the time of a template without an owner."""
        template = None if observed is None else observed.seen.template
        unowned = template is not None and is_unowned(template)
        self._times.keep(request, (template.meta.uid,) if template is not None and unowned else ())
