"""The volume of one model cache: whether it exists and can be used, and whether to create it.

Contract: :func:`decide_volume` is pure and total. A claim is created when its storage class exists. It is never changed
or deleted, because a volume holds the data of users. A download may start on a claim that is not bound: many storage
classes create the volume only when the first pod uses the claim.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, final

from aimctl.domain.caching.download_job import volume_bytes, volume_claim
from aimctl.domain.caching.model_cache_observation import owner_of, requested_size
from aimctl.domain.conditions import list_few, parse_rfc3339
from aimctl.domain.naming import being_deleted, similar
from aimctl.domain.plan import Create
from aimctl.domain.resolution import Missing
from aimctl.kubetypes.builtin import PVCS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.api.v1alpha1 import RuntimeConfigSpec
    from aimctl.domain.caching.model_cache_observation import ModelCacheObservation
    from aimctl.domain.plan import Rejection
    from aimctl.kubetypes import Object, PersistentVolumeClaim

__all__ = [
    "BOUND",
    "CLASS_NOT_FOUND",
    "INVALID_SIZE",
    "NAME_TAKEN",
    "NOT_PROVISIONED",
    "NO_DEFAULT_CLASS",
    "PROVISION_GRACE",
    "VOLUME_LOST",
    "VOLUME_MISSING",
    "VOLUME_REFUSED",
    "VolumeDecision",
    "decide_volume",
]

BOUND = "VolumeBound"
PENDING = "VolumePending"
NOT_PROVISIONED = "VolumeNotProvisioned"
REQUESTED = "VolumeRequested"
VOLUME_MISSING = "VolumeMissing"
VOLUME_DELETING = "VolumeDeleting"
VOLUME_LOST = "VolumeLost"
VOLUME_REFUSED = "VolumeRefused"
NAME_TAKEN = "NameTaken"
INVALID_SIZE = "InvalidSize"
CLASS_NOT_FOUND = "StorageClassNotFound"
NO_DEFAULT_CLASS = "NoDefaultStorageClass"
"""Reasons of ``StorageReady``. A missing runtime config has a reason of its own."""

PROVISION_GRACE = timedelta(minutes=5)
"""A claim that is not bound after this time is reported with possible causes."""


@final
@dataclass(frozen=True, slots=True)
class VolumeDecision:
    """The state of the volume.

    Attributes:
        ready: whether the claim is bound.
        reason: of the condition ``StorageReady``.
        message: of the condition ``StorageReady``.
        usable: the claim, if a download may start on it.
        create: the claim to create.
        failed: whether a user has to act.
        requeue_after: seconds after which the answer may change without an event.
    """

    ready: bool
    reason: str
    message: str
    usable: Object[PersistentVolumeClaim] | None = None
    create: Create | None = None
    failed: bool = False
    requeue_after: float | None = None


def decide_volume(seen: ModelCacheObservation) -> VolumeDecision:
    """Decide about the volume of one model cache."""
    volume, claim = seen.volume, _claim(seen)
    if volume is None:
        return _missing(seen)
    owner = owner_of(volume, seen.cache)
    if owner == "other":
        return VolumeDecision(ready=False, reason=NAME_TAKEN, message=_taken(seen), failed=True)
    if volume.meta.deleting or owner == "former":
        text = f"{claim} {being_deleted(volume.meta)}; a new one will be created and filled when it is gone"
        return VolumeDecision(ready=False, reason=VOLUME_DELETING, message=text)
    match volume.view.status.phase:
        case "Lost":
            text = (
                f"{claim} has lost its volume and the data on it. Delete the claim to have a new one created and"
                f" filled: kubectl -n {seen.cache.meta.namespace} delete pvc {seen.name}"
            )
            return VolumeDecision(ready=False, reason=VOLUME_LOST, message=text, failed=True)
        case "Bound":
            text = f"{claim} of {requested_size(volume)} is bound"
            return VolumeDecision(ready=True, reason=BOUND, message=text, usable=volume)
        case _:
            return _unbound(seen, volume)


def _claim(seen: ModelCacheObservation) -> str:
    return f"PersistentVolumeClaim {seen.name!r}"


def _taken(seen: ModelCacheObservation) -> str:
    return (
        f"{_claim(seen)} was not created for this model cache and is not used."
        " Delete it, or use another name for the model cache"
    )


# ---- a claim that does not exist


def _missing(seen: ModelCacheObservation) -> VolumeDecision:
    config = seen.runtime_config
    if isinstance(config, Missing):
        return VolumeDecision(ready=False, reason=config.reason, message=config.message)
    rejection = seen.known.rejection(PVCS, seen.cache.meta.namespace, seen.name)
    if rejection is None:
        decision = _requested(seen)
        if decision.reason in (CLASS_NOT_FOUND, NO_DEFAULT_CLASS):
            return decision
    else:
        decision = _rejected(seen, rejection)
    return _with_claim(seen, decision, config.spec)


def _requested(seen: ModelCacheObservation) -> VolumeDecision:
    reason, message = _class_problem(seen, _wanted_class(seen))
    if not reason and seen.status.completed is not None:
        reason = VOLUME_MISSING
        message = f"{_claim(seen)} and the data on it are gone; it will be created and filled again"
    elif not reason:
        reason, message = REQUESTED, f"{_claim(seen)} is being created"
    return VolumeDecision(ready=False, reason=reason, message=message)


def _rejected(seen: ModelCacheObservation, rejection: Rejection) -> VolumeDecision:
    """The API server has rejected the claim, perhaps because there is one that the cache's selector excludes."""
    claim, existing = _claim(seen), rejection.existing
    if existing is None:
        text = f"the API server rejected {claim}: {rejection.message}"
        return VolumeDecision(ready=False, reason=VOLUME_REFUSED, message=text)
    match owner_of(existing, seen.cache):
        case "former":
            text = f"{claim} of a former model cache of this name still exists; a new one will be created"
            return VolumeDecision(ready=False, reason=VOLUME_DELETING, message=text)
        case "own":
            lost = ", ".join(_lost_labels(seen, existing.meta.labels))
            text = f"{claim} has lost its label {lost}: add it again"
            return VolumeDecision(ready=False, reason=NAME_TAKEN, message=text, failed=True)
        case "other":
            return VolumeDecision(ready=False, reason=NAME_TAKEN, message=_taken(seen), failed=True)


def _lost_labels(seen: ModelCacheObservation, labels: Mapping[str, str]) -> list[str]:
    wanted = volume_claim(seen.cache, 0, None)["metadata"]["labels"]
    return [f"{key}={value}" for key, value in wanted.items() if labels.get(key) != value]


def _with_claim(
    seen: ModelCacheObservation, decision: VolumeDecision, config: RuntimeConfigSpec
) -> VolumeDecision:
    try:
        size = volume_bytes(seen.cache.view.spec.size, config.pvc_headroom_percent)
    except ValueError as error:
        text = f"spec.size: {error}"
        return VolumeDecision(ready=False, reason=INVALID_SIZE, message=text, failed=True)
    manifest = volume_claim(seen.cache, size, _wanted_class(seen) or None, labels=seen.propagated_labels)
    return replace(decision, create=Create(PVCS, manifest))


# ---- a claim that is not bound


def _unbound(seen: ModelCacheObservation, volume: Object[PersistentVolumeClaim]) -> VolumeDecision:
    claim, name, namespace = (
        _claim(seen),
        volume.view.spec.storage_class_name or "",
        seen.cache.meta.namespace,
    )
    reason, message = _class_problem(seen, name)
    if reason:
        wanted = _wanted_class(seen)
        if name and wanted != name:
            other = f"storage class {wanted!r}" if wanted else "the default storage class"
            message += (
                f". {claim} was created with it and cannot be changed: delete the claim to have one created with"
                f" {other}"
            )
        return VolumeDecision(ready=False, reason=reason, message=message)
    label = f"storage class {name or seen.classes.default!r}"
    created = parse_rfc3339(volume.meta.creation_timestamp) or seen.now
    left = (PROVISION_GRACE - (seen.now - created)).total_seconds()
    if left > 0:
        text = f"{claim} waits for a volume of {label}; some storage classes create it only for the first pod"
        return VolumeDecision(ready=False, reason=PENDING, message=text, usable=volume, requeue_after=left)
    text = (
        f"{claim} has had no volume for {PROVISION_GRACE.total_seconds() / 60:.0f} minutes. Check that {label}"
        f" supports ReadWriteMany and {requested_size(volume)}: kubectl -n {namespace} describe pvc {seen.name}"
        " shows the cause"
    )
    return VolumeDecision(ready=False, reason=NOT_PROVISIONED, message=text, usable=volume)


# ---- storage classes


def _wanted_class(seen: ModelCacheObservation) -> str:
    """The storage class of the cache, or of the runtime config; empty for the default of the cluster."""
    config = seen.runtime_config
    default = None if isinstance(config, Missing) else config.spec.default_storage_class_name
    return seen.cache.view.spec.storage_class_name or default or ""


def _class_problem(seen: ModelCacheObservation, name: str) -> tuple[str, str]:
    """Reason and message if the storage class of this name, or the default one, does not exist; else empty."""
    if name and name not in seen.classes.names:
        existing = list_few(sorted(seen.classes.names)) or "none"
        near = similar(name, seen.classes.names)
        # A class of the cache takes precedence over that of the runtime config.
        where = "storageClassName of its template cache, or of this model cache if that names none"
        if not seen.cache.view.spec.storage_class_name:
            where = "the runtime config's defaultStorageClassName"
        return CLASS_NOT_FOUND, (
            f"the cluster has no storage class {name!r}{near}: create it, or name another one in {where}. The cluster"
            f" has {existing}"
        )
    if not name and not seen.classes.default:
        return NO_DEFAULT_CLASS, (
            "no storage class is named, and the cluster has no default one: name one in the runtime config's"
            " defaultStorageClassName, or in storageClassName of the template cache, or make one the default"
        )
    return "", ""
