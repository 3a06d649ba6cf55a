"""The invariants of the AIM operator that are checked after every write.

Contract: each function takes one write and returns what is wrong with it. They read only what is stored. The invariants
of :mod:`storm.witness` are checked as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.testing import Write

__all__ = ["deletion_problems", "readiness_problems", "unwanted_derived"]

_GROUP = ".aim.silogen.ai"
_TEMPLATES = frozenset({f"aimservicetemplates{_GROUP}", f"aimclusterservicetemplates{_GROUP}"})
_MODEL_CACHES, _TEMPLATE_CACHES = f"aimmodelcaches{_GROUP}", f"aimtemplatecaches{_GROUP}"
_OF_USERS = frozenset(
    {
        f"aimmodels{_GROUP}",
        f"aimclustermodels{_GROUP}",
        f"aimruntimeconfigs{_GROUP}",
        f"aimclusterruntimeconfigs{_GROUP}",
        f"aimservices{_GROUP}",
    }
)
_PROFILE = ("modelName", "metric", "precision", "gpuSelector")
_DERIVED = "aim.silogen.ai/derived-template"

Body = Mapping[str, Any] if TYPE_CHECKING else dict


def deletion_problems(write: Write, objects: Mapping[str, Mapping[tuple[str, str], Body]]) -> Iterator[str]:
    """Nothing that is Available or in use is deleted by the operator, and nothing that users own."""
    before = write.before
    if not write.actor.startswith("manager-") or before is None:
        return
    already = before["metadata"].get("deletionTimestamp")
    deleted = write.after is None or write.after["metadata"].get("deletionTimestamp")
    if already or not deleted:
        return
    what = f"{write.actor} deletes {write.collection} {write.place}"
    state = (before.get("status") or {}).get("status")
    if write.collection in _OF_USERS or (write.collection in _TEMPLATES and not _is_derived(before)):
        yield f"{what}, which belongs to a user"
    if write.collection == _MODEL_CACHES and state == "Available" and _has_volume(before, objects):
        yield f"{what}, which is Available"
    if write.collection == _TEMPLATE_CACHES and _is_asked_for(before, objects):
        yield f"{what}, which its template or a service asks for"
    if write.collection in _TEMPLATES and _is_derived(before) and _users_of(before, objects):
        yield f"{what}, which {_users_of(before, objects)} use"
    if write.collection == "persistentvolumeclaims":
        for (_, name), cache in objects["AIMModelCache"].items():
            status = cache.get("status") or {}
            volume = (status.get("completed") or {}).get("volumeUid")
            if status.get("status") == "Available" and volume == before["metadata"]["uid"]:
                yield f"{what}, the volume of {name}, which is Available"


def readiness_problems(write: Write) -> Iterator[str]:
    """A template is never Ready without model sources."""
    if write.collection in _TEMPLATES and write.after is not None:
        status = write.after.get("status") or {}
        if status.get("status") == "Ready" and not status.get("modelSources"):
            yield f"{write.collection} {write.place} is Ready without model sources"


def unwanted_derived(objects: Mapping[str, Mapping[tuple[str, str], Body]]) -> Iterator[str]:
    """Derived templates without an owner that wants them. Only to be called once settled."""
    for (namespace, name), template in objects["AIMServiceTemplate"].items():
        if not _is_derived(template):
            continue
        owners = {owner["uid"] for owner in template["metadata"].get("ownerReferences", ())}
        wanted = [
            service
            for service in objects["AIMService"].values()
            if service["metadata"]["uid"] in owners and service["spec"].get("overrides")
        ]
        if not wanted:
            yield f"no owner wants the derived template {namespace}/{name}: owners {sorted(owners)}"


def _is_derived(template: Body) -> bool:
    return (template["metadata"].get("labels") or {}).get(_DERIVED) == "true"


def _has_volume(cache: Body, objects: Mapping[str, Mapping[tuple[str, str], Body]]) -> bool:
    """Whether the volume of a model cache exists. Its status follows later when a user deletes the claim."""
    uid = ((cache.get("status") or {}).get("completed") or {}).get("volumeUid")
    return any(
        claim["metadata"]["uid"] == uid and not claim["metadata"].get("deletionTimestamp")
        for claim in objects["PersistentVolumeClaim"].values()
    )


def _is_asked_for(cache: Body, objects: Mapping[str, Mapping[tuple[str, str], Body]]) -> bool:
    """Whether the template of a template cache, or a service that uses the template, asks for it."""
    namespace, name = cache["metadata"]["namespace"], cache["spec"]["templateRef"]
    template = objects["AIMServiceTemplate"].get((namespace, name))
    remains = template is not None and not template["metadata"].get("deletionTimestamp")
    if template is not None and remains and (template["spec"].get("caching") or {}).get("enabled"):
        return True
    return any(
        service["spec"].get("cacheModel")
        and ((service.get("status") or {}).get("resolvedTemplate") or {}).get("name") == name
        for (place, _), service in objects["AIMService"].items()
        if place == namespace
    )


def _users_of(template: Body, objects: Mapping[str, Mapping[tuple[str, str], Body]]) -> list[str]:
    """The services whose status names a derived template, and for which it can still be used."""
    uid = template["metadata"]["uid"]
    return sorted(
        "/".join(place)
        for place, service in objects["AIMService"].items()
        if not service["metadata"].get("deletionTimestamp")
        and _still_fits(template, service, objects)
        and ((service.get("status") or {}).get("resolvedTemplate") or {}).get("uid") == uid
    )


def _still_fits(template: Body, service: Body, objects: Mapping[str, Mapping[tuple[str, str], Body]]) -> bool:
    """Whether the profile of a derived template is that of the base with the overrides.

    The profile cannot be changed, so a derived template is deleted and created again if its base has another one, for
    example because a namespaced template now hides the cluster template of that name.
    """
    overrides, name = service["spec"].get("overrides"), service["spec"].get("templateRef", "")
    base = objects["AIMServiceTemplate"].get(
        (service["metadata"]["namespace"], name), objects["AIMClusterServiceTemplate"].get(("", name))
    )
    if not overrides or base is None:
        return False
    wanted = {**base["spec"], **overrides}
    return all(wanted.get(field) == template["spec"].get(field) for field in _PROFILE)
