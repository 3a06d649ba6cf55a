"""The volume of one model cache: is it there, is it good, should it be made, and what a person should know about it.

Contract: :func:`decide_volume` is pure and total. A claim is made once its storage class is there, and never changed
or deleted by us: what is on a volume is somebody's data. A claim that is not bound is good enough to start a download,
because many storage classes make the volume only where the first pod runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.caching.download_job import volume_bytes, volume_claim
from aimctl.domain.resolution import Missing

if TYPE_CHECKING:
    from aimctl.domain.caching.model_cache_observation import ModelCacheObservation, ObservedVolume

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
"""Reasons of ``StorageReady``; a runtime config that is missing has its own."""

PROVISION_GRACE = timedelta(minutes=5)
"""A claim that is not bound after so long is worth a word on why it may be."""


@final
@dataclass(frozen=True, slots=True)
class VolumeDecision:
    """How it is with the volume.

    Attributes:
        ready: whether the claim is bound.
        reason: a condition's.
        message: a condition's.
        usable: the claim that a download may start on.
        create: the claim to make.
        hopeless: whether it cannot become good by itself.
        look_again_after: seconds after which the answer may change by itself.
    """

    ready: bool
    reason: str
    message: str
    usable: ObservedVolume | None = None
    create: dict[str, Any] | None = None
    hopeless: bool = False
    look_again_after: float | None = None


def decide_volume(seen: ModelCacheObservation) -> VolumeDecision:
    """Decide about the volume of one model cache."""
    volume, claim = seen.volume, f"PersistentVolumeClaim {seen.cache.name!r}"
    if volume is None:
        return _absent(seen, claim)
    if volume.owner == "other":
        text = f"{claim} belongs to somebody else and is left alone. Delete it, or name this model cache otherwise"
        return VolumeDecision(ready=False, reason=NAME_TAKEN, message=text, hopeless=True)
    if volume.deleting or volume.owner == "former":
        text = f"{claim} is being deleted; another one is made, and filled, once it is gone"
        return VolumeDecision(ready=False, reason=VOLUME_DELETING, message=text)
    if volume.phase == "Lost":
        text = (
            f"{claim} lost its volume, and what was on it. Delete the claim to have it made and filled anew:"
            f" kubectl -n {seen.cache.namespace} delete pvc {seen.cache.name}"
        )
        return VolumeDecision(ready=False, reason=VOLUME_LOST, message=text, hopeless=True)
    if volume.phase == "Bound":
        text = f"{claim} of {volume.requested} is bound"
        return VolumeDecision(ready=True, reason=BOUND, message=text, usable=volume)
    return _unbound(seen, volume, claim)


def _absent(seen: ModelCacheObservation, claim: str) -> VolumeDecision:
    config = seen.runtime_config
    if isinstance(config, Missing):
        return VolumeDecision(ready=False, reason=config.reason, message=config.message)
    if seen.volume_refused is not None:
        reason, message = seen.volume_refused
    else:
        reason, message = _class_problem(seen, _wanted_class(seen))
        if reason:
            return VolumeDecision(ready=False, reason=reason, message=message)
        if seen.view.status.completed is not None:
            reason, message = (
                VOLUME_MISSING,
                f"{claim} is gone, and what was on it; it is made and filled anew",
            )
        else:
            reason, message = REQUESTED, f"{claim} is being made"
    try:
        size = volume_bytes(seen.view.spec.size, config.spec.pvc_headroom_percent)
    except ValueError as error:
        return VolumeDecision(ready=False, reason=INVALID_SIZE, message=f"spec.size: {error}", hopeless=True)
    create = volume_claim(seen.cache, size, _wanted_class(seen) or None)
    hopeless = reason == NAME_TAKEN
    return VolumeDecision(ready=False, reason=reason, message=message, create=create, hopeless=hopeless)


def _unbound(seen: ModelCacheObservation, volume: ObservedVolume, claim: str) -> VolumeDecision:
    name = volume.storage_class or ""
    reason, message = _class_problem(seen, name)
    if reason:
        wanted = _wanted_class(seen)
        if name and wanted != name:
            message += (
                f". {claim} was made with it and cannot be changed: delete the claim to have it made anew with"
                f" {f'storage class {wanted!r}' if wanted else 'the default storage class'}"
            )
        return VolumeDecision(ready=False, reason=reason, message=message)
    label = f"storage class {name or seen.classes.default!r}"
    left = (PROVISION_GRACE - (seen.now - volume.created)).total_seconds()
    if left > 0:
        text = f"{claim} waits for a volume of {label}; some classes make it only for the first pod"
        return VolumeDecision(ready=False, reason=PENDING, message=text, usable=volume, look_again_after=left)
    text = (
        f"{claim} got no volume within {PROVISION_GRACE.total_seconds() / 60:.0f} minutes: does {label} offer"
        f" ReadWriteMany, and {volume.requested}? kubectl -n {seen.cache.namespace} describe pvc"
        f" {seen.cache.name} says more"
    )
    return VolumeDecision(ready=False, reason=NOT_PROVISIONED, message=text, usable=volume)


def _wanted_class(seen: ModelCacheObservation) -> str:
    """The storage class that is asked for; "" for the cluster's default."""
    config = seen.runtime_config
    default = None if isinstance(config, Missing) else config.spec.default_storage_class_name
    return seen.view.spec.storage_class_name or default or ""


def _class_problem(seen: ModelCacheObservation, name: str) -> tuple[str, str]:
    """What is wrong with the storage class of this name, if anything."""
    if name and name not in seen.classes.names:
        have = ", ".join(sorted(seen.classes.names)) or "none"
        return CLASS_NOT_FOUND, (
            f"the cluster has no storage class {name!r}: create it, or name another one in spec.storageClassName"
            f" or in the runtime config's defaultStorageClassName. The cluster has {have}"
        )
    if not name and not seen.classes.default:
        return NO_DEFAULT_CLASS, (
            "no storage class is named, and the cluster has no default one: name one in spec.storageClassName or in"
            " the runtime config's defaultStorageClassName, or make one the default"
        )
    return "", ""
