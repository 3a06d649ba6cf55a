"""The model reconciler: what a model's image says about itself, the templates it recommends, and how they fare.

One class serves both scopes. The rules are in :mod:`aimctl.domain.models.decision`.

Order of the writes: templates first, because what the status says of them must be so; they have names of their own, so
making them again after a crash finds them there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.controllers.making import REFUSALS, REFUSED_SECONDS, refusal
from aimctl.controllers.status import StatusWriter
from aimctl.domain.conditions import clip
from aimctl.domain.models.decision import decide_model
from aimctl.runtime.controller import Result
from aimctl.runtime.kube import AlreadyExists, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.controllers.models.image_readings import ImageReadings
    from aimctl.controllers.models.observer import ModelObserver
    from aimctl.controllers.status import Turns
    from aimctl.domain.models.auto_templates import AutoTemplate
    from aimctl.domain.models.observation import ModelObservation
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client, Object, Resource
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "ModelReconciler"]

FIELD_MANAGER = "aim-models"

_MAX_REFUSAL = 512


@final
class ModelReconciler:
    """Reconciles the models of one scope.

    Args:
        resource: namespaced or cluster models.
        observer: reads the cache.
        readings: reads images.
        client: writes.
        turns: shared with all writers of statuses.
        events: the event recorder.
        requeue: enqueues a model whose image has been read.
    """

    def __init__(
        self,
        resource: Resource[Any],
        *,
        observer: ModelObserver,
        readings: ImageReadings,
        client: Client,
        turns: Turns,
        events: EventRecorder,
        requeue: Callable[[Request], None],
    ) -> None:
        self._resource = resource
        self._observer = observer
        self._readings = readings
        self._client = client
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER)
        self._events = events
        self._requeue = requeue

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        observed = self._observer.observe(self._resource, request)
        if observed is None:
            return None
        obj, seen = observed
        ask_again = None
        question = seen.to_read()
        if question is not None:
            reading, ask_again = self._readings.ask(question, self._requeue, request)
            seen = replace(seen, reading=reading)
        seen = self._observer.with_named(seen)
        decision = decide_model(seen)
        refused: dict[str, str] = {}
        if decision.create:
            refused = await self._create(obj, seen, decision.create)
            decision = decide_model(replace(self._observer.with_named(seen), refused=refused))
        if decision.status is not None and await self._status.write(obj, decision.status):
            for wish in decision.events:
                self._events.event(obj, wish.type, wish.reason, wish.message)
        waits = [ask_again, REFUSED_SECONDS if refused else None]
        seconds = [item for item in waits if item is not None]
        return Result(requeue_after=max(0.05, min(seconds))) if seconds else None

    async def _create(
        self, obj: Object[Any], seen: ModelObservation, wanted: tuple[AutoTemplate, ...]
    ) -> dict[str, str]:
        """Make templates; returns those that the server did not take, with its words."""
        resource: Resource[Any] = TEMPLATES if seen.model.namespace else CLUSTER_TEMPLATES
        made: list[str] = []
        refused: dict[str, str] = {}
        for item in wanted:
            try:
                await self._client.create(resource, item.manifest)
                made.append(item.name)
            except AlreadyExists:
                await self._look(resource, item.name, seen.model.namespace)
            except NotFound:
                break  # the namespace is gone, and the model with it
            except REFUSALS as error:
                if not refusal(error):
                    break  # with the namespace the model goes too
                refused[item.name] = clip(error.message, _MAX_REFUSAL)
        if made:
            names = ", ".join(made)
            self._events.event(obj, "Normal", "TemplatesCreated", clip(f"created {names}", 1024))
        return refused

    async def _look(self, resource: Resource[Any], name: str, namespace: str) -> None:
        """Bring what has the name into a cache that lags; whose it is, the next decision says."""
        with suppress(NotFound):  # gone again: the next look makes it
            self._observer.cache.observe_write(await self._client.get(resource, name, namespace))
