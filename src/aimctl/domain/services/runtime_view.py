"""The runtime of a service: KServe's InferenceService, as it is and as it should be.

Contract:
    * What is deployed carries a hash of what was asked for in an annotation. It is asked for again when that changes,
      or when something of it was changed by somebody else; a field that we did not ask for is nobody's business.
    * What the server itself made of it at the last apply (a webhook may take images from a mirror) stays as it is.
    * An InferenceService of the service's name that the service does not control is never touched. That of a former
      service of the name is waited for: garbage collection takes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, final

from aimctl.api.v1alpha1 import GROUP, SERVICES
from aimctl.domain.hashing import digest
from aimctl.domain.services.inference_service import inference_service
from aimctl.domain.templates.observation import Blocked
from aimctl.kubetypes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.domain.services.observation import ObservedInferenceService, ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "APPLIED_HASH_ANNOTATION",
    "NAME_TAKEN",
    "RUNTIME_NOT_INSTALLED",
    "RUNTIME_REFUSED",
    "RUNTIME_STOPPED",
    "RuntimeView",
    "differs",
    "holds",
    "look_at_runtime",
    "manifest",
]

APPLIED_HASH_ANNOTATION = "aim.silogen.ai/applied-hash"
"""On what we deploy: SHA-256 of all that was asked for."""

RUNTIME_NOT_INSTALLED, NAME_TAKEN = "RuntimeNotInstalled", "NameTaken"
RUNTIME_READY, RUNTIME_STARTING, RUNTIME_NOT_READY = "RuntimeReady", "RuntimeStarting", "RuntimeNotReady"
RUNTIME_REFUSED, RUNTIME_STOPPED = "RuntimeRefused", "RuntimeStopped"
_STARTING = "the InferenceService is starting"
_AMOUNTS = frozenset({"limits", "requests"})
_EMPTY = ("", 0)


@final
@dataclass(frozen=True, slots=True)
class RuntimeView:
    """What is to be said of the runtime, and done about it.

    Attributes:
        status, reason, message: of the condition ``RuntimeReady``.
        ours: whether the service has a runtime, ready or not.
        deploy: what to apply; None when it is so already, or must wait.
        refused: whether the server did not take what is to be deployed.
    """

    status: Literal["True", "False"]
    reason: str
    message: str
    ours: bool = False
    deploy: dict[str, Any] | None = None
    refused: bool = False

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self.status == "True"


def look_at_runtime(
    seen: ServiceObservation, template: Template | None, blocked: Blocked | None
) -> RuntimeView:
    """The runtime of a service.

    Args:
        seen: the service.
        template: what it runs; None when there is nothing to run.
        blocked: why nothing may be deployed now.
    """
    found = seen.inference_service
    ours = found is not None and found.controller == seen.service.uid
    if not ours:
        obstacle = blocked or _obstacle(seen)
        if obstacle is not None:
            return RuntimeView("False", obstacle.reason, obstacle.message)
    if found is not None and found.deleting:
        message = f"InferenceService {seen.service.name!r} is being deleted, and is made anew once it is gone"
        return RuntimeView("False", RUNTIME_STARTING, message, ours=True)
    deploy = None
    if blocked is None and template is not None:
        wanted = manifest(seen, template)
        if found is None or (differs(found, wanted) and not _as_admitted(found, wanted, seen.admitted)):
            deploy = wanted
    mirrored = RuntimeView(*_mirror(found), ours, deploy)
    refused = seen.refused
    if refused is not None and refused.kind == "InferenceService" and deploy is not None:
        message = f"the API server refused the InferenceService: {refused.message}"
        if not mirrored.ready:
            return RuntimeView("False", RUNTIME_REFUSED, message, ours, deploy, refused=True)
        return replace(
            mirrored, message=f"{mirrored.message}, as it was last set up; {message}", refused=True
        )
    if found is not None and not mirrored.ready and deploy is None and seen.view.spec.replicas == 0:
        message = "spec.replicas is 0: nothing serves until it is raised"
        return RuntimeView("False", RUNTIME_STOPPED, message, ours)
    return mirrored


def _obstacle(seen: ServiceObservation) -> Blocked | None:
    """What keeps a runtime from being made."""
    found = seen.inference_service
    if found is not None and (found.deleting or _of_former_service(seen, found)):
        of = "" if found.deleting else " that belonged to a former service of this name"
        return Blocked(
            RUNTIME_STARTING,
            f"an InferenceService {seen.service.name!r}{of} is going; it is made anew for this service once it is gone",
        )
    if found is not None:
        return Blocked(
            NAME_TAKEN,
            f"InferenceService {seen.service.name!r} in namespace {seen.service.namespace!r} is there already and does"
            " not belong to this service: delete it, or give the service another name",
        )
    if not seen.kserve_served:
        return Blocked(
            RUNTIME_NOT_INSTALLED,
            "the API server does not serve InferenceService (serving.kserve.io/v1beta1): install KServe, and the"
            " service is deployed by itself",
        )
    return None


def _of_former_service(seen: ServiceObservation, found: ObservedInferenceService) -> bool:
    """Whether an AIMService of the same name controls it, which can only be one that is gone."""
    metadata: Mapping[str, Any] = found.body.get("metadata") or {}
    return any(
        owner.get("uid") == found.controller
        and owner.get("kind") == SERVICES.name
        and owner.get("name") == seen.service.name
        and str(owner.get("apiVersion")).startswith(f"{GROUP}/")
        for owner in metadata.get("ownerReferences") or ()
    )


def manifest(seen: ServiceObservation, template: Template) -> dict[str, Any]:
    """The InferenceService as it should be, with its hash."""
    body = inference_service(seen, template)
    metadata = body["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED_HASH_ANNOTATION: digest(body)}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def holds(have: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there: more fields may be, but no other values.

    Entries of lists that have names are found by them, others by their place. KServe writes every object anew when
    it is admitted: amounts in their canonical form, and empty values not at all. Those count as there.
    """
    if _is_mapping(wanted):
        return _is_mapping(have) and all(
            _holds_amounts(have.get(name), value)
            if name in _AMOUNTS
            else holds(have[name], value)
            if name in have
            else value in _EMPTY
            for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        if not isinstance(have, list | tuple):
            return False
        if wanted and all(_is_mapping(item) and "name" in item for item in wanted):
            named = {item["name"]: item for item in have if _is_mapping(item) and "name" in item}
            return all(item["name"] in named and holds(named[item["name"]], item) for item in wanted)
        return len(have) == len(wanted) and all(
            holds(mine, theirs) for mine, theirs in zip(have, wanted, strict=True)
        )
    return bool(have == wanted)


def _holds_amounts(have: Any, wanted: Any) -> bool:
    if not (_is_mapping(have) and _is_mapping(wanted)):
        return bool(have == wanted)
    return all(name in have and _amount(have[name]) == _amount(amount) for name, amount in wanted.items())


def _amount(text: Any) -> Any:
    """The number that a quantity is; what is none stands for itself."""
    try:
        return parse_quantity(str(text)).value
    except ValueError:
        return text


def _is_mapping(value: Any) -> bool:
    return hasattr(value, "items")


def differs(found: ObservedInferenceService, wanted: Mapping[str, Any]) -> bool:
    """Whether an InferenceService is not what is wanted, as :func:`manifest` gives it."""
    hash_ = wanted["metadata"]["annotations"][APPLIED_HASH_ANNOTATION]
    if found.annotations.get(APPLIED_HASH_ANNOTATION) != hash_:
        return True
    metadata = {
        name: value for name, value in wanted["metadata"].items() if name in {"labels", "annotations"}
    }
    return not holds(found.body, {"metadata": metadata, "spec": wanted["spec"]})


def _as_admitted(
    found: ObservedInferenceService, wanted: Mapping[str, Any], admitted: ObservedInferenceService | None
) -> bool:
    """Whether the same was asked for at the last apply, and it is still what the server made of that."""
    if admitted is None or admitted.uid != found.uid:
        return False
    hash_ = wanted["metadata"]["annotations"][APPLIED_HASH_ANNOTATION]
    return hash_ == admitted.annotations.get(APPLIED_HASH_ANNOTATION) and _parts(found) == _parts(admitted)


def _parts(found: ObservedInferenceService) -> tuple[Any, ...]:
    metadata: Mapping[str, Any] = found.body.get("metadata") or {}
    return metadata.get("labels"), metadata.get("annotations"), found.body.get("spec")


def _mirror(found: ObservedInferenceService | None) -> tuple[Literal["True", "False"], str, str]:
    """What KServe says about it."""
    if found is None:
        # The same words as before it has said anything: that it was created is no news worth a write.
        return "False", RUNTIME_STARTING, _STARTING
    status = found.body.get("status") or {}
    conditions: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    by_type = {item.get("type"): item for item in conditions if _is_mapping(item)}
    ready = by_type.pop("Ready", None)
    if ready is not None and ready.get("status") == "True":
        url = status.get("url")
        return (
            "True",
            RUNTIME_READY,
            f"the InferenceService is ready at {url}" if url else "the InferenceService is ready",
        )
    said = _words(ready) or next(
        (
            f"{name}: {_words(item) or item.get('status')}"
            for name, item in sorted(by_type.items(), key=str)
            if item.get("status") == "False"
        ),
        "",
    )
    if ready is not None and ready.get("status") == "False":
        return (
            "False",
            RUNTIME_NOT_READY,
            f"the InferenceService is not ready: {said or 'it does not say why'}",
        )
    return "False", RUNTIME_STARTING, f"{_STARTING}: {said}" if said else _STARTING


def _words(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return ""
    return ": ".join(str(item[name]) for name in ("reason", "message") if item.get(name))
