"""The runtime of a service: its state, and whether its InferenceService has to be applied.

Contract:
    * The InferenceService has a hash of the manifest in an annotation. It is applied when the hash changes, or when a
      field of the manifest was changed. Fields that are not in the manifest are ignored.
    * What the API server stored when the manifest was applied is not changed (a webhook may rewrite image names).
    * It is not applied while no node offers the GPUs of the template.
    * An InferenceService of the name of the runtime that the service does not control is never changed. If it belongs
      to an earlier service of that name, the garbage collector removes it, and it is created again after that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, final

from aimctl.api import kinds
from aimctl.domain.conditions import Finding
from aimctl.domain.hashing import digest
from aimctl.domain.naming import being_deleted
from aimctl.domain.services.candidates import missing_gpu
from aimctl.domain.services.inference_service import DEPLOYMENT_MODE, DEPLOYMENT_MODES, inference_service
from aimctl.domain.services.kserve.name import MAX_NAMESPACE
from aimctl.domain.services.kserve.status import (
    RUNTIME_NOT_READY,
    RUNTIME_READY,
    RUNTIME_STARTING,
    RUNTIME_STOPPED,
    pods_of,
    reported,
)
from aimctl.kubetypes import Object
from aimctl.kubetypes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.services.observation import DeploymentObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "APPLIED_HASH_ANNOTATION",
    "NAME_IMPOSSIBLE",
    "NAME_TAKEN",
    "RUNTIME_NOT_INSTALLED",
    "RUNTIME_NOT_READY",
    "RUNTIME_READY",
    "RUNTIME_REFUSED",
    "RUNTIME_STARTING",
    "RUNTIME_STOPPED",
    "InferenceService",
    "Runtime",
    "contains",
    "fingerprint",
    "is_controlled",
    "manifest",
    "runtime_of",
]

if TYPE_CHECKING:
    InferenceService: TypeAlias = Object[Mapping[str, Any]]
else:
    InferenceService = Object

APPLIED_HASH_ANNOTATION = "aim.silogen.ai/applied-hash"
"""On the InferenceService: SHA-256 of the manifest without this annotation."""

RUNTIME_NOT_INSTALLED, RUNTIME_REFUSED = "RuntimeNotInstalled", "RuntimeRefused"
NAME_TAKEN, NAME_IMPOSSIBLE = "NameTaken", "RuntimeNameImpossible"
_AMOUNTS = frozenset({"limits", "requests"})
_EMPTY = ("", 0)


@final
@dataclass(frozen=True, slots=True)
class Runtime:
    """The runtime of a service.

    Attributes:
        finding: of the condition ``RuntimeReady``.
        exists: whether the service has an InferenceService, ready or not.
        apply: the manifest to apply; None if nothing has to be applied, or nothing may be.
        rejected: whether the API server rejected that manifest.
        denied: whether it rejects that manifest until a user intervenes. A webhook that does not answer denies nothing.
        pods: the number of pods that KServe reports.
    """

    finding: Finding
    exists: bool = False
    apply: dict[str, Any] | None = None
    rejected: bool = False
    denied: bool = False
    pods: int = 0


def runtime_of(seen: DeploymentObservation, template: Template | None, obstacle: Finding | None) -> Runtime:
    """The runtime of a service.

    Args:
        seen: the service and its InferenceService.
        template: the template to deploy; None if there is none.
        obstacle: why nothing may be deployed now.
    """
    service, found = seen.service, seen.inference_service
    name = seen.runtime_name or ""
    exists = is_controlled(seen)
    if not exists:
        obstacle = obstacle or _obstacle(seen)
        if obstacle is not None:
            return Runtime(obstacle)
    if found is not None and found.meta.deleting:
        message = f"InferenceService {name!r} {being_deleted(found.meta)}; it is created again after that"
        return Runtime(Finding(False, RUNTIME_STARTING, message), exists=True, pods=pods_of(found))
    wanted = None
    # The status of the template follows a change of the nodes a moment later.
    gpu_lost = exists and template is not None and missing_gpu(template, service.gpus)
    if obstacle is None and template is not None and not gpu_lost:
        wanted = manifest(seen, template)
        if found is not None and not _has_to_be_applied(found, wanted, seen.admitted):
            wanted = None
    runtime = Runtime(reported(found), exists, wanted, pods=pods_of(found))
    rejection = service.known.rejection(kinds.INFERENCE_SERVICES, service.namespace, name)
    if rejection is not None and wanted is not None:
        message = f"the API server rejected the InferenceService: {rejection.message}"
        return replace(_rejected(runtime, message), denied=not rejection.temporary)
    if found is not None and not runtime.finding.true and wanted is None and service.spec.replicas == 0:
        message = "spec.replicas is 0: nothing is served until it is increased"
        return replace(runtime, finding=Finding(False, RUNTIME_STOPPED, message))
    return runtime


def is_controlled(seen: DeploymentObservation) -> bool:
    """Whether there is an InferenceService that the service controls."""
    return _controller(seen.inference_service) == seen.service.obj.meta.uid


def _controller(found: InferenceService | None) -> str:
    """The UID of the controller; "" if there is none."""
    controller = found.meta.controller if found is not None else None
    return controller.uid if controller is not None else ""


def _obstacle(seen: DeploymentObservation) -> Finding | None:
    """Why no InferenceService can be created."""
    found, service, name = seen.inference_service, seen.service, seen.runtime_name
    if name is None:
        return Finding(
            False,
            NAME_IMPOSSIBLE,
            f"the name of namespace {service.namespace!r} is too long for KServe, which uses"
            " <name>-predictor-<namespace> as a part of host names, with at most 63 characters: create the service in a"
            f" namespace whose name has at most {MAX_NAMESPACE} characters",
        )
    if found is not None and (found.meta.deleting or _is_of_earlier_service(found, service.obj.meta.name)):
        whose = "" if found.meta.deleting else " of an earlier service of this name"
        return Finding(
            False,
            RUNTIME_STARTING,
            f"the InferenceService {name!r}{whose} {being_deleted(found.meta)};"
            " it is created for this service after that",
        )
    if found is not None:
        return Finding(
            False,
            NAME_TAKEN,
            f"InferenceService {name!r} in namespace {service.namespace!r} exists and does not belong to this service:"
            " delete it, or give the service another name",
        )
    if not seen.kserve_served:
        return Finding(
            False,
            RUNTIME_NOT_INSTALLED,
            "the API server does not serve InferenceService (serving.kserve.io/v1beta1): install KServe, and the"
            " service is deployed automatically",
        )
    return None


def _is_of_earlier_service(found: InferenceService, name: str) -> bool:
    """Whether an AIMService of this name controls it; as it is not this one, that one no longer exists."""
    owner = found.meta.controller
    return (
        owner is not None
        and (owner.group, owner.kind) == (kinds.SERVICES.group, kinds.SERVICES.kind)
        and owner.name == name
    )


def _rejected(runtime: Runtime, message: str) -> Runtime:
    if not runtime.finding.true:
        return replace(runtime, finding=Finding(False, RUNTIME_REFUSED, message), rejected=True)
    # A runtime that serves continues with its last configuration.
    message = f"{runtime.finding.message}, with its last configuration; {message}"
    return replace(runtime, finding=runtime.finding._replace(message=message), rejected=True)


# ---- what has to be applied


def manifest(seen: DeploymentObservation, template: Template) -> dict[str, Any]:
    """The InferenceService as it should be, with its hash."""
    body = inference_service(
        seen.service, template, seen.template_cache, _node_affinity(seen.inference_service)
    )
    metadata = body["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED_HASH_ANNOTATION: digest(body)}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def _node_affinity(found: InferenceService | None) -> Any:
    """The node affinity of an InferenceService; None if it has none."""
    value: Any = None if found is None else found.view.get("spec")
    for name in ("predictor", "affinity", "nodeAffinity"):
        value = value.get(name) if _is_mapping(value) else None
    return value


def fingerprint(found: InferenceService) -> str:
    """A hash of everything in an InferenceService that a manifest can set, and of its UID."""
    meta, spec = found.meta, found.body().get("spec")  # a frozen view cannot be encoded
    return digest([meta.uid, dict(meta.labels), dict(meta.annotations), spec])


def _has_to_be_applied(found: InferenceService, wanted: Mapping[str, Any], admitted: str) -> bool:
    annotations = found.meta.annotations
    if annotations.get(APPLIED_HASH_ANNOTATION) != wanted["metadata"]["annotations"][APPLIED_HASH_ANNOTATION]:
        return True
    metadata = {key: value for key, value in wanted["metadata"].items() if key in {"labels", "annotations"}}
    if annotations.get(DEPLOYMENT_MODE) in DEPLOYMENT_MODES:
        mode = {DEPLOYMENT_MODE: annotations[DEPLOYMENT_MODE]}
        metadata = {**metadata, "annotations": {**metadata["annotations"], **mode}}
    if contains(found.view, {"metadata": metadata, "spec": wanted["spec"]}):
        return False
    # It differs, but that is how the API server stored this manifest.
    return admitted != fingerprint(found)


def contains(current: Any, wanted: Any) -> bool:
    """Whether a JSON value has every value that is wanted; it may have more fields.

    Elements of lists that have names are compared by name, others by position. KServe writes quantities in canonical
    form and omits empty values, so those are equal.
    """
    if _is_mapping(wanted):
        return _is_mapping(current) and all(
            _contains_amounts(current.get(name), value)
            if name in _AMOUNTS
            else contains(current[name], value)
            if name in current
            else value in _EMPTY
            for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        if not isinstance(current, list | tuple):
            return False
        if wanted and all(_is_mapping(item) and "name" in item for item in wanted):
            named = {item["name"]: item for item in current if _is_mapping(item) and "name" in item}
            return all(item["name"] in named and contains(named[item["name"]], item) for item in wanted)
        return len(current) == len(wanted) and all(map(contains, current, wanted))
    return bool(current == wanted)


def _contains_amounts(current: Any, wanted: Any) -> bool:
    if not (_is_mapping(current) and _is_mapping(wanted)):
        return bool(current == wanted)
    return all(
        name in current and _amount(current[name]) == _amount(amount) for name, amount in wanted.items()
    )


def _amount(text: Any) -> Any:
    """The number that a quantity means; a text that is not a quantity is compared as it is."""
    try:
        return parse_quantity(str(text)).value
    except ValueError:
        return text


def _is_mapping(value: Any) -> bool:
    return hasattr(value, "items")
