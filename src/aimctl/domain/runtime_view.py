"""The runtime of a service: KServe's InferenceService, as it is and as it should be.

Contract:
    * What is deployed carries a hash of what was asked for in an annotation. It is asked for again when that changes,
      or when something of it was changed by somebody else; a field that we did not ask for is nobody's business.
    * An InferenceService of the service's name that the service does not control is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from aimctl.domain.hashing import digest
from aimctl.domain.inference_service import inference_service
from aimctl.domain.observation import Blocked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.domain.service_observation import (
        ObservedInferenceService,
        ObservedTemplate,
        ServiceObservation,
    )

__all__ = [
    "APPLIED_HASH_ANNOTATION",
    "NAME_TAKEN",
    "RUNTIME_NOT_INSTALLED",
    "RuntimeView",
    "holds",
    "look_at_runtime",
    "manifest",
]

APPLIED_HASH_ANNOTATION = "aim.silogen.ai/applied-hash"
"""On what we deploy: SHA-256 of all that was asked for."""

RUNTIME_NOT_INSTALLED, NAME_TAKEN = "RuntimeNotInstalled", "NameTaken"
RUNTIME_READY, RUNTIME_STARTING, RUNTIME_NOT_READY = "RuntimeReady", "RuntimeStarting", "RuntimeNotReady"
RUNTIME_REFUSED = "RuntimeRefused"
_STARTING = "the InferenceService is starting"


@final
@dataclass(frozen=True, slots=True)
class RuntimeView:
    """What is to be said of the runtime, and done about it.

    Attributes:
        status, reason, message: of the condition ``RuntimeReady``.
        ours: whether the service has a runtime, ready or not.
        deploy: what to apply; None when it is so already, or must wait.
    """

    status: Literal["True", "False"]
    reason: str
    message: str
    ours: bool = False
    deploy: dict[str, Any] | None = None

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self.status == "True"


def look_at_runtime(
    seen: ServiceObservation, template: ObservedTemplate | None, blocked: Blocked | None
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
        if found is None or _differs(found, wanted):
            deploy = wanted
    refused = seen.refused
    if (
        refused is not None
        and refused.kind == "InferenceService"
        and deploy is not None
        and not _serves(found)
    ):
        message = f"the API server refused the InferenceService: {refused.message}"
        return RuntimeView("False", RUNTIME_REFUSED, message, ours, deploy)
    return RuntimeView(*_mirror(found), ours, deploy)


def _obstacle(seen: ServiceObservation) -> Blocked | None:
    """What keeps a runtime from being made."""
    if seen.inference_service is not None:
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


def manifest(seen: ServiceObservation, template: ObservedTemplate) -> dict[str, Any]:
    """The InferenceService as it should be, with its hash."""
    body = inference_service(seen, template)
    metadata = body["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED_HASH_ANNOTATION: digest(body)}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def holds(have: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there: more fields may be, but no other values.

    Entries of lists that have names are found by them, others by their place.
    """
    if _is_mapping(wanted):
        return _is_mapping(have) and all(
            name in have and holds(have[name], value) for name, value in wanted.items()
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


def _is_mapping(value: Any) -> bool:
    return hasattr(value, "items")


def _differs(found: ObservedInferenceService, wanted: Mapping[str, Any]) -> bool:
    hash_ = wanted["metadata"]["annotations"][APPLIED_HASH_ANNOTATION]
    if found.annotations.get(APPLIED_HASH_ANNOTATION) != hash_:
        return True
    metadata = {
        name: value for name, value in wanted["metadata"].items() if name in {"labels", "annotations"}
    }
    return not holds(found.body, {"metadata": metadata, "spec": wanted["spec"]})


def _serves(found: ObservedInferenceService | None) -> bool:
    return found is not None and _mirror(found)[0] == "True"


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
        return "True", RUNTIME_READY, f"the InferenceService is ready at {url}" if url else "it is ready"
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
