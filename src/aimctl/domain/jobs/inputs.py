"""The objects that a pod cannot start without: Secrets, ConfigMaps and its service account.

They are not watched, because that needs the permission to list all Secrets. After an attempt has failed, the decision
plans reads of their metadata, and repeats them every :data:`POLL_SECONDS` while one of them is missing. The next
attempt follows when all exist; until then no pod is created. The executor shares the results between all objects that
read the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aimctl.domain.conditions import list_few
from aimctl.domain.plan import Get, List
from aimctl.kubetypes.builtin import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aimctl.domain.plan import Known

__all__ = ["POLL_SECONDS", "absent", "do_not_exist", "pod_inputs", "unread"]

_Read = TypeVar("_Read", bound=Get | List)

POLL_SECONDS = 25.0
"""Interval of the reads while an object is missing. With the age of a shared result and the start of a pod, an attempt
succeeds within a minute after the object was created.
"""


def pod_inputs(
    namespace: str,
    *,
    env: Iterable[Mapping[str, Any]] = (),
    pull_secrets: Iterable[str] = (),
    service_account: str = "",
) -> tuple[Get, ...]:
    """Reads of the objects that a pod refers to, each once, without their content.

    Args:
        namespace: of the pod.
        env: the variables as JSON. References that are optional are left out.
        pull_secrets: names of Secrets.
        service_account: its name; "" for the default one, which exists in every namespace.
    """
    found = [Get(SERVICE_ACCOUNTS, namespace, service_account, metadata_only=True)] if service_account else []
    found += [Get(SECRETS, namespace, name, metadata_only=True) for name in pull_secrets]
    for item in env:
        source = item.get("valueFrom") or {}
        for field, kind in (("secretKeyRef", SECRETS), ("configMapKeyRef", CONFIG_MAPS)):
            reference = source.get(field) or {}
            if reference.get("name") and not reference.get("optional"):
                found.append(Get(kind, namespace, reference["name"], metadata_only=True))
    return tuple(dict.fromkeys(found))


def unread(reads: Iterable[_Read], known: Known) -> tuple[_Read, ...]:
    """The reads whose results are not known yet."""
    return tuple(read for read in reads if read not in known.reads)


def absent(reads: Iterable[Get], known: Known) -> tuple[Get, ...]:
    """The objects that do not exist. One that was not read, or that the operator may not read, counts as existing."""
    return tuple(
        read
        for read in reads
        if (got := known.reads.get(read)) is not None and got.object is None and not got.forbidden
    )


def do_not_exist(objects: Sequence[Get]) -> str:
    """A sentence about missing objects of one namespace, with the remedy; at least one."""
    names = list_few(f"{item.resource.kind} {item.name!r}" for item in objects)
    verb, it = ("does", "it") if len(objects) == 1 else ("do", "them")
    return f"{names} {verb} not exist in namespace {objects[0].namespace!r}: create {it}"
