"""Reads what the invariants need from stored objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from sieve.observed import Body

__all__ = [
    "DERIVED",
    "TEMPLATES",
    "claim_of",
    "discovers",
    "discovery_input",
    "finished",
    "of_user",
    "owner_uids",
    "state_of",
    "wants",
]

TEMPLATES = frozenset({"aimservicetemplates", "aimclusterservicetemplates"})
DERIVED = "aim.silogen.ai/derived-template"
"""The label of derived templates."""


def state_of(body: Body | None) -> str:
    """``status.status``; "" without one."""
    return str(((body or {}).get("status") or {}).get("status", ""))


def of_user(body: Body) -> bool:
    """Whether the users of the scenario have created an object."""
    return any(item["manager"] == "test" for item in body["metadata"].get("managedFields") or ())


def owner_uids(body: Body) -> set[str]:
    """The uids of all owners."""
    return {item["uid"] for item in body["metadata"].get("ownerReferences") or ()}


def wants(service: Body, template: Body) -> bool:
    """Whether a service exists on, has overrides, and finds them in the spec of a template."""
    overrides = service["spec"].get("overrides") or {}
    return (
        bool(overrides)
        and not service["metadata"].get("deletionTimestamp")
        and all(template["spec"].get(name) == value for name, value in overrides.items())
    )


def finished(job: Body) -> bool:
    """Whether a Job is Complete or Failed."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(item["type"] in ("Complete", "Failed") and item["status"] == "True" for item in conditions)


def discovers(job: Body) -> bool:
    """Whether a Job is owned by a template."""
    owners = job["metadata"].get("ownerReferences") or ()
    return any(item["kind"] in ("AIMServiceTemplate", "AIMClusterServiceTemplate") for item in owners)


def discovery_input(job: Body) -> str:
    """What determines the result of a Job: its owner, its name and its pod."""
    owner = (job["metadata"].get("ownerReferences") or [{}])[0].get("uid", "")
    containers: Any = job["spec"]["template"]["spec"]["containers"]
    return f"{owner} {job['metadata']['name']} {msgspec.json.encode(containers).decode()}"


def claim_of(body: Body) -> str:
    """The claim that a pod mounts, or the pods of a Job, with its namespace; "" for none."""
    spec = body["spec"].get("template", body)["spec"]
    names = [
        item["persistentVolumeClaim"]["claimName"]
        for item in spec.get("volumes") or ()
        if "persistentVolumeClaim" in item
    ]
    return f"{body['metadata']['namespace']}/{names[0]}" if names else ""
