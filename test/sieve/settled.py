"""What must be true when nothing changes any more.

Contract: :func:`settled_problems` reads only what is stored. The rules are:
    * Every derived template has an owner that wants it: a service whose overrides are in its spec.
    * Every owner of a derived template exists, and uses it.
    * Every service that uses a derived template is one of its owners.
    * Every unfinished discovery Job belongs to a template that exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sieve.bodies import DERIVED, TEMPLATES, discovers, finished, owner_uids, wants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sieve.observed import Body, Key

__all__ = ["settled_problems"]


def settled_problems(objects: Mapping[Key, Body]) -> Iterator[str]:
    """What is wrong, one line each."""
    uids = {body["metadata"]["uid"]: key for key, body in objects.items()}
    services = [(key, body) for key, body in objects.items() if key.plural == "aimservices"]
    for key, body in objects.items():
        if key.plural in TEMPLATES and (body["metadata"].get("labels") or {}).get(DERIVED) == "true":
            yield from _derived(key, body, services, uids)
        if key.plural == "jobs" and discovers(body) and not finished(body) and not owner_uids(body) & {*uids}:
            yield f"{key} is unfinished, and its template does not exist"


def _derived(
    key: Key, template: Body, services: list[tuple[Key, Body]], uids: Mapping[str, Key]
) -> Iterator[str]:
    owners = owner_uids(template)
    users = {
        service["metadata"]["uid"]: str(name)
        for name, service in services
        if _used(service) == template["metadata"]["uid"]
    }
    if not any(service["metadata"]["uid"] in owners and wants(service, template) for _, service in services):
        yield f"{key} is derived, and no owner wants it"
    for uid in sorted(owners - {*users}):
        yield f"{uids.get(uid, 'an object that does not exist')} owns {key}, and does not use it"
    for uid in sorted({*users} - owners):
        yield f"{users[uid]} uses {key}, and does not own it"


def _used(service: Body) -> str:
    """The uid of the template that a service uses."""
    return str(((service.get("status") or {}).get("resolvedTemplate") or {}).get("uid", ""))
