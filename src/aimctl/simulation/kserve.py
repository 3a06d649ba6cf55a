"""A simulation of KServe: the kind InferenceService, and a controller that sets its status. Nothing is served.

Contract:
    * :func:`inference_service_crd` is a CRD for ``serving.kserve.io/v1beta1``. The fields that operators read and write
      have types; all other fields of the real CRD are accepted without validation.
    * For a new spec, :class:`SimulatedKServe` first sets conditions that are not ready. After ``ready_seconds`` it sets
      ``PredictorReady``, ``IngressReady``, ``Ready`` and a URL, or the reason of a failure.
    * It has KServe's finalizer, so it stays while it is being deleted and this controller does not run.
    * With the annotation ``serving.kserve.io/stop: "true"`` it is Stopped, without a URL.
    * A name whose pods or host would have too long labels fails as with KServe, and so does a container whose resources
      the API server rejects: the Deployment is not created.
    * A service fails if the catalogue's entry of the image fails (missing image, crash, no matching node, ...), or by
      the annotation :data:`OUTCOME_ANNOTATION`. A change of the annotation has an immediate effect.
    * A service that is Ready stays Ready while a changed spec is rolled out.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, final

from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes import Resource
from aimctl.kubetypes.quantity import amount
from aimctl.runtime.clock import format_time
from aimctl.runtime.kube.errors import NotFound
from aimctl.simulation.kserve_webhooks import deployment_mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
"""Annotation of an InferenceService: ``fail: <message>`` or ``never``. Otherwise the image decides."""

READY_SECONDS = 3.0
_FINALIZER = "inferenceservice.finalizers"
_STOP = "serving.kserve.io/stop"
_MAX_LABEL = 63
_DOMAIN = "example.com"


class _Outcome(NamedTuple):
    """The outcome of an InferenceService: ready, or the reason and message why it is not."""

    reason: str = ""
    message: str = ""

    @property
    def ready(self) -> bool:
        """Whether it is ready."""
        return not self.reason


_READY = _Outcome()
_STOPPED = _Outcome("Stopped")
_STARTING = _Outcome("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
_NO_INGRESS = "Predictor ingress not created"
_REJECTED = "ReconcileFailed"
_AVAILABLE = {"reason": "NewReplicaSetAvailable", "message": "The ReplicaSet has successfully progressed."}
_FAILURES: Mapping[str, tuple[str, str]] = {
    "image-not-found": ("ImagePullBackOff", 'Back-off pulling image "{image}": not found'),
    "pull-refused": ("ImagePullBackOff", 'Back-off pulling image "{image}": pull access denied'),
    "registry-unavailable": ("ImagePullBackOff", 'Back-off pulling image "{image}": i/o timeout'),
    "create-error": ("CreateContainerError", "{error}"),
    "never-scheduled": ("Unschedulable", "0 nodes are available: no node fits the pod"),
    "crash": ("CrashLoopBackOff", "back-off 5m0s restarting failed container=kserve-container"),
    "out-of-memory": ("CrashLoopBackOff", "container kserve-container was OOMKilled"),
}


@final
class SimulatedKServe:
    """The controller of InferenceServices.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        catalogue: decides which images serve.
        events: records Events.
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
        if service is None or not await self._holds(key, service["metadata"]):
            return None
        wait = self._wait(service)
        outcome = _STARTING if wait > 0 and not _is_stopped(service) else self._outcome(service)
        if wait <= 0 or outcome is _STOPPED or not _is_ready(service):
            await self._write_status(key, service, outcome)
        return wait if wait > 0 else None

    async def _holds(self, key: ObjectKey, metadata: Mapping[str, Any]) -> bool:
        """Add the finalizer, or remove it from an object that is being deleted; returns whether the object stays."""
        finalizers = list(metadata.get("finalizers") or ())
        deleting = "deletionTimestamp" in metadata
        if (_FINALIZER in finalizers) == deleting:
            wanted = [*finalizers, _FINALIZER] if not deleting else [n for n in finalizers if n != _FINALIZER]
            patch = {"metadata": {"uid": metadata["uid"], "finalizers": wanted}}
            with contextlib.suppress(NotFound):
                written = await self._client.patch(INFERENCE_SERVICES, key.name, patch, key.namespace)
                if not deleting:
                    self.services.observe(written)
        return not deleting

    def _wait(self, service: Mapping[str, Any]) -> float:
        """Seconds until the outcome of this spec. After a restart, an outcome in the status is kept."""
        metadata = service["metadata"]
        uid, generation = metadata["uid"], metadata["generation"]
        known = self._seen.get(uid)
        if known is None or known[0] != generation:
            settled = (service.get("status") or {}).get("observedGeneration") == generation
            over = settled and known is None and _is_ready(service)
            start = self._clock.monotonic() - (self._seconds if over else 0.0)
            known = self._seen[uid] = (generation, start)
        return known[1] + self._seconds - self._clock.monotonic()

    def _outcome(self, service: Mapping[str, Any]) -> _Outcome:
        metadata = service["metadata"]
        if _is_stopped(service):
            return _STOPPED
        error = next(_errors(service), None)
        if error is not None:
            return _Outcome(_REJECTED, error)
        annotation = (metadata.get("annotations") or {}).get(OUTCOME_ANNOTATION, "")
        word, _, message = annotation.partition(":")
        if word == "never":
            return _STARTING
        if word == "fail":
            return _Outcome("Failed", message.strip() or "failed because of its annotation")
        for container in service["spec"]["predictor"].get("containers") or ():
            image = str(container.get("image") or "")
            entry = self._catalogue.entry(image, tuple(container.get("args") or ()))
            fail = "image-not-found" if entry is None else entry.fail or ""
            if fail in _FAILURES:
                reason, text = _FAILURES[fail]
                error = "" if entry is None else entry.create_error
                return _Outcome(reason, text.format(image=image, error=error))
        return _READY

    async def _write_status(self, key: ObjectKey, service: dict[str, Any], outcome: _Outcome) -> None:
        old: dict[str, Any] = service.get("status") or {}
        status = self._status(key, service, old, outcome)
        if all(old.get(name) == value for name, value in status.items()):
            return
        patch = {"metadata": {"uid": service["metadata"]["uid"]}, "status": status}
        written = await self._client.patch(
            INFERENCE_SERVICES, key.name, patch, key.namespace, subresource="status"
        )
        self.services.observe(written)
        if outcome.ready != _is_ready(service):
            word = "is Ready" if outcome.ready else "is no longer Ready"
            type_, reason = (
                ("Normal", "InferenceServiceReady") if outcome.ready else ("Warning", outcome.reason)
            )
            await self._events.report(service, type_, reason, f"InferenceService [{key.name}] {word}")

    def _status(
        self, key: ObjectKey, service: Mapping[str, Any], old: Mapping[str, Any], outcome: _Outcome
    ) -> dict[str, Any]:
        known = {item["type"]: item for item in old.get("conditions") or ()}
        now = format_time(self._clock.now())
        conditions = []
        for type_, fields in _conditions(outcome).items():
            before = known.get(type_) or {}
            same = before.get("status") == fields["status"]
            transition = before.get("lastTransitionTime") if same else None
            conditions.append({"type": type_, "lastTransitionTime": transition or now, **fields})
        pods = service["spec"]["predictor"].get("minReplicas", 1)
        status: dict[str, Any] = {
            "conditions": conditions,
            "observedGeneration": service["metadata"]["generation"],
            "deploymentMode": deployment_mode(service["metadata"].get("annotations") or {}),
            "modelStatus": {"copies": {"failedCopies": 0, "totalCopies": pods if outcome.ready else 0}},
        }
        if outcome.ready or outcome is _STOPPED:
            status["url"] = f"http://{key.name}-{key.namespace}.{_DOMAIN}" if outcome.ready else None
        return status


def _errors(service: Mapping[str, Any]) -> Iterator[str]:
    """Why KServe or the API server rejects the Deployment, in their words."""
    metadata, predictor = service["metadata"], service["spec"]["predictor"]
    name = f"{metadata['name']}-predictor"
    label = f"{name}-{metadata['namespace']}"
    if len(label) > _MAX_LABEL:
        yield (
            "fails to create NewRawKubeReconciler for predictor: failed creating host name: invalid domain name"
            f' "{label}.{_DOMAIN}": url: Invalid value: "{label}": must be no more than {_MAX_LABEL} characters'
        )
    invalid = f'Deployment.apps "{name}" is invalid'
    if len(f"isvc.{name}") > _MAX_LABEL:
        yield f"{invalid}: must be no more than {_MAX_LABEL} characters"
    for number, container in enumerate(predictor.get("containers") or ()):
        for error in _resource_errors(container.get("resources") or {}):
            yield f"{invalid}: spec.template.spec.containers[{number}].resources.{error}"


def _resource_errors(resources: Mapping[str, Any]) -> Iterator[str]:
    limits = resources.get("limits") or {}
    for name, request in sorted((resources.get("requests") or {}).items()):
        extended = "/" in name
        if name not in limits:
            if extended:
                yield "limits: Required value: Limit must be set for non overcommitable resources"
        elif extended and amount(request) != amount(limits[name]):
            yield f'requests: Invalid value: "{request}": must be equal to {name} limit of {limits[name]}'
        elif amount(request) > amount(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield f'requests: Invalid value: "{request}": {text}'


def _conditions(outcome: _Outcome) -> dict[str, dict[str, str]]:
    """The conditions by type, without times. A condition that turns False takes Ready with it; the last one counts."""
    failed = {"status": "False", "reason": outcome.reason}
    if outcome.message:
        failed["message"] = outcome.message
    unknown, true = {"status": "Unknown"}, {"status": "True"}
    stopped = {"status": "True" if outcome is _STOPPED else "False", "severity": "Info"}
    if outcome.ready:
        ingress, predictor, ready = true, {**true, **_AVAILABLE}, true
    elif outcome is _STOPPED:
        ingress, predictor, ready = failed, failed, failed
    elif outcome.reason == _REJECTED:
        return {"IngressReady": unknown, "PredictorReady": failed, "Ready": failed}
    else:
        ingress = {"status": "False", "reason": _NO_INGRESS}
        predictor, ready = failed, ingress
    return {"IngressReady": ingress, "PredictorReady": predictor, "Ready": ready, "Stopped": stopped}


def _is_stopped(service: Mapping[str, Any]) -> bool:
    annotations = service["metadata"].get("annotations") or {}
    return str(annotations.get(_STOP, "")).lower() == "true"


def _is_ready(service: Mapping[str, Any]) -> bool:
    conditions = (service.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def inference_service_crd() -> dict[str, Any]:
    """The CustomResourceDefinition, which every version of ``apiextensions.k8s.io/v1`` accepts."""
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
            "automountServiceAccountToken": {"type": "boolean"},
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
                            "description": "A model to be served by KServe. Simulated: nothing is served.",
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
