"""A simulated KServe: the kind InferenceService, and a controller that says how serving goes. Nothing serves.

Contract:
    * :func:`inference_service_crd` is a CRD of our own for ``serving.kserve.io/v1beta1``: the parts that operators
      read and write have types, everything else of the real one's thousands of fields is kept unchecked.
    * :class:`SimulatedKServe` answers a new spec at once with conditions that say it is not ready yet, and after
      ``ready_seconds`` with ``PredictorReady``, ``IngressReady``, ``Ready`` and a URL, or with what is wrong.
    * What is wrong is what the catalogue says of the image (not there, crashing, no node for it, ...), or the
      annotation :data:`OUTCOME_ANNOTATION`: ``fail: <message>`` or ``never``. A change of it is followed at once.
    * A service that is Ready stays so while a changed spec rolls out, as with a rolling update.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, final

from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes import Resource
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client
    from aimctl.simulation.catalogue import Catalogue

__all__ = ["INFERENCE_SERVICES", "OUTCOME_ANNOTATION", "SimulatedKServe", "inference_service_crd"]

INFERENCE_SERVICES = Resource.untyped(
    "serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", namespaced=True
)

OUTCOME_ANNOTATION = "simulated.aimctl/outcome"
"""On an InferenceService: ``ready`` (the default, if the image is good), ``fail: <message>`` or ``never``."""

READY_SECONDS = 3.0
_DOMAIN = "example.com"


class _Verdict(NamedTuple):
    """How serving goes: ready, or why not."""

    reason: str = ""
    message: str = ""

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return not self.reason


_READY = _Verdict()
_STARTING = _Verdict("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
_NO_INGRESS = _Verdict("PredictorNotReady", "waits for the predictor")
_FAILURES: Mapping[str, tuple[str, str]] = {
    "image-not-found": ("ImagePullBackOff", 'Back-off pulling image "{image}": not found'),
    "pull-refused": ("ImagePullBackOff", 'Back-off pulling image "{image}": pull access denied'),
    "create-error": ("CreateContainerError", "{error}"),
    "never-scheduled": ("Unschedulable", "0 nodes are available: no node fits the pod"),
    "crash": ("CrashLoopBackOff", "back-off 5m0s restarting failed container=kserve-container"),
    "out-of-memory": ("CrashLoopBackOff", "container kserve-container was OOMKilled"),
}


@final
class SimulatedKServe:
    """Says of every InferenceService how it goes.

    Args:
        client: how to act.
        clock: time.
        catalogue: which images serve.
        events: where Events go.
        ready_seconds: from a new spec to its outcome.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        catalogue: Catalogue,
        events: EventRecorder,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._client = client
        self._clock = clock
        self._catalogue = catalogue
        self._events = events
        self._seconds = ready_seconds
        self._seen: dict[str, tuple[int, float]] = {}
        self.worker: Worker[ObjectKey] = Worker("kserve", self._reconcile, clock=clock)
        self.services: Informer[dict[str, Any]] = Informer(
            client, INFERENCE_SERVICES, clock=clock, project=body_of, on_change=self._changed
        )

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return (self.services,)

    async def run(self) -> None:
        """Work until cancelled. The kind has to be served."""
        await run_controller(self.worker, self.informers)

    def _changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new is None and old is not None:
            self._seen.pop(old["metadata"]["uid"], None)
        else:
            self.worker.add(key)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        service = self.services.get(key)
        if service is None or service["metadata"].get("deletionTimestamp"):
            return None
        wait = self._wait(service)
        verdict = _STARTING if wait > 0 else self._verdict(service)
        if wait <= 0 or not _is_ready(service):
            await self._tell(key, service, verdict)
        return wait if wait > 0 else None

    def _wait(self, service: Mapping[str, Any]) -> float:
        """Seconds until this spec's outcome. After a restart an outcome that was told stands."""
        metadata = service["metadata"]
        uid, generation = metadata["uid"], metadata["generation"]
        known = self._seen.get(uid)
        if known is None or known[0] != generation:
            settled = (service.get("status") or {}).get("observedGeneration") == generation
            told = settled and known is None and _is_ready(service)
            begun = self._clock.monotonic() - (self._seconds if told else 0.0)
            known = self._seen[uid] = (generation, begun)
        return known[1] + self._seconds - self._clock.monotonic()

    def _verdict(self, service: Mapping[str, Any]) -> _Verdict:
        outcome = (service["metadata"].get("annotations") or {}).get(OUTCOME_ANNOTATION, "")
        word, _, message = outcome.partition(":")
        if word == "never":
            return _STARTING
        if word == "fail":
            return _Verdict("Failed", message.strip() or "told to fail")
        for container in service["spec"]["predictor"].get("containers") or ():
            image = str(container.get("image") or "")
            entry = self._catalogue.entry(image, tuple(container.get("args") or ()))
            fail = "image-not-found" if entry is None else entry.fail or ""
            if fail in _FAILURES:
                reason, text = _FAILURES[fail]
                error = "" if entry is None else entry.create_error
                return _Verdict(reason, text.format(image=image, error=error))
        return _READY

    async def _tell(self, key: ObjectKey, service: dict[str, Any], verdict: _Verdict) -> None:
        old: dict[str, Any] = service.get("status") or {}
        status = self._status(key, service, old, verdict)
        if all(old.get(name) == value for name, value in status.items()):
            return
        patch = {"metadata": {"uid": service["metadata"]["uid"]}, "status": status}
        written = await self._client.patch(
            INFERENCE_SERVICES, key.name, patch, key.namespace, subresource="status"
        )
        self.services.observe(written)
        if verdict.ready != _is_ready(service):
            word = "is Ready" if verdict.ready else "is no longer Ready"
            type_, reason = (
                ("Normal", "InferenceServiceReady") if verdict.ready else ("Warning", verdict.reason)
            )
            await self._events.report(service, type_, reason, f"InferenceService [{key.name}] {word}")

    def _status(
        self, key: ObjectKey, service: Mapping[str, Any], old: Mapping[str, Any], verdict: _Verdict
    ) -> dict[str, Any]:
        known = {item["type"]: item for item in old.get("conditions") or ()}
        now = format_time(self._clock.now())
        ingress = _READY if verdict.ready else _NO_INGRESS
        conditions = []
        for type_, one in (("IngressReady", ingress), ("PredictorReady", verdict), ("Ready", verdict)):
            state = "True" if one.ready else "False"
            before = known.get(type_) or {}
            moved = before.get("lastTransitionTime") if before.get("status") == state else None
            condition = {"type": type_, "status": state, "lastTransitionTime": moved or now}
            if not one.ready:
                condition |= {"reason": one.reason, "message": one.message}
            conditions.append(condition)
        status: dict[str, Any] = {
            "conditions": conditions,
            "observedGeneration": service["metadata"]["generation"],
        }
        if verdict.ready:
            status["url"] = f"http://{key.name}-{key.namespace}.{_DOMAIN}"
        return status


def _is_ready(service: Mapping[str, Any]) -> bool:
    conditions = (service.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def inference_service_crd() -> dict[str, Any]:
    """The CustomResourceDefinition, fit for ``apiextensions.k8s.io/v1`` of any age."""
    text = {"type": "string"}
    open_object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    replicas = {"type": "integer", "format": "int32"}
    containers = {"type": "array", "items": open_object}
    predictor = {
        **open_object,
        "properties": {
            "minReplicas": replicas,
            "maxReplicas": replicas,
            "containers": containers,
            "serviceAccountName": text,
        },
    }
    condition = {
        "type": "object",
        "required": ["type", "status"],
        "properties": dict.fromkeys(
            ("type", "status", "reason", "message", "severity", "lastTransitionTime"), text
        ),
    }
    status = {
        **open_object,
        "properties": {
            "conditions": {"type": "array", "items": condition},
            "observedGeneration": {"type": "integer", "format": "int64"},
            "url": text,
        },
    }
    spec = {
        "type": "object",
        "required": ["predictor"],
        "properties": {"predictor": predictor, "transformer": open_object, "explainer": open_object},
    }
    ready = '.status.conditions[?(@.type=="Ready")].status'
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "inferenceservices.serving.kserve.io"},
        "spec": {
            "group": INFERENCE_SERVICES.group,
            "scope": "Namespaced",
            "names": {
                "kind": INFERENCE_SERVICES.kind,
                "listKind": "InferenceServiceList",
                "plural": INFERENCE_SERVICES.plural,
                "singular": "inferenceservice",
                "shortNames": ["isvc"],
            },
            "versions": [
                {
                    "name": INFERENCE_SERVICES.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": "URL", "type": "string", "jsonPath": ".status.url"},
                        {"name": "Ready", "type": "string", "jsonPath": ready},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                    "schema": {
                        "openAPIV3Schema": {
                            "description": "A model to be served, of KServe. Simulated: nothing serves it.",
                            "type": "object",
                            "properties": {
                                "apiVersion": text,
                                "kind": text,
                                "metadata": {"type": "object"},
                                "spec": spec,
                                "status": status,
                            },
                        }
                    },
                }
            ],
        },
    }
