"""The validation of claims, PersistentVolumes and StorageClasses.

Contract: that of the checks in ``rules/checks.py``. Volume plug-ins that no longer exist are not checked.

Source: Kubernetes' ``core/validation`` and ``storage/validation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    all_of,
    each_of,
    fields,
    label_key,
    listed,
    name,
    one_of,
)
from aimctl.devcluster.apiserver.builtin.rules.pods.scheduling import node_selector
from aimctl.devcluster.apiserver.builtin.rules.pods.volumes import VOLUME_SOURCES
from aimctl.devcluster.apiserver.objects.names import qualified_name_errors, subdomain_errors
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["claim", "storage_class", "volume"]

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_SINGLE = "ReadWriteOncePod"
_LONGEST_PARAMETERS, _MOST_PARAMETERS = 256 * 1024, 512
_OTHER_SOURCES = (
    *("flexVolume", "fc", "flocker", "glusterfs", "local", "photonPersistentDisk", "portworxVolume"),
    *("quobyte", "scaleIO", "storageos", "azureDisk"),
)


def _modes(value: Any, path: str) -> Iterator[FieldError]:
    yield from each_of(*_MODES)(value, path)
    if _SINGLE in value and any(mode in _MODES for mode in value if mode != _SINGLE):
        yield forbidden(path, f"may not use {_SINGLE} with other access modes")


def _source(value: Any, path: str) -> Iterator[FieldError]:
    """The object that a volume is filled from."""
    group, kind = value.get("apiGroup") or "", value.get("kind") or ""
    for field in ("name", "kind"):
        if not value.get(field):
            yield required(f"{path}.{field}")
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield invalid(path, kind, text)
    yield from _subdomain(group, f"{path}.apiGroup")


_subdomain = name(subdomain_errors)
_VOLUME_MODE = listed("Block", "Filesystem")
_CLAIM_FIELDS = fields(
    accessModes=_modes,
    storageClassName=_subdomain,
    volumeMode=_VOLUME_MODE,
    dataSource=_source,
    dataSourceRef=_source,
    volumeAttributesClassName=_subdomain,
)


def claim(spec: Any, path: str) -> Iterator[FieldError]:
    """A claim has access modes and a size."""
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        yield required(f"{path}.resources[storage]")
    elif amount(size) <= 0:
        yield invalid(f"{path}.resources[storage]", size, "must be greater than zero")
    yield from _CLAIM_FIELDS(spec, path)


def volume(spec: Any, path: str) -> Iterator[FieldError]:
    """A PersistentVolume has a size, access modes and one source."""
    capacity = spec.get("capacity") or {}
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes")
    if not capacity:
        yield required(f"{path}.capacity")
    if set(capacity) != {"storage"}:
        yield unsupported(f"{path}.capacity", capacity or None, ("storage",))
    for resource, size in capacity.items():
        here = f"{path}.capacity[{resource}]"
        if amount(size) < 0:
            yield invalid(here, size, "must be a valid resource quantity")
        if amount(size) <= 0:
            yield invalid(here, size, "must be greater than zero")
    yield from _VOLUME_FIELDS(spec, path)
    sources = [source for source in (*VOLUME_SOURCES, *_OTHER_SOURCES) if spec.get(source) is not None]
    if not sources:
        yield required(path, "must specify a volume type")
    else:
        check = VOLUME_SOURCES.get(sources[0])
        if check is not None:
            yield from check(spec[sources[0]], f"{path}.{sources[0]}")
        if sources[0] == "csi" and not spec["csi"].get("volumeHandle"):
            yield required(f"{path}.csi.volumeHandle")
    for source in sources[1:]:
        yield forbidden(f"{path}.{source}", "may not specify more than 1 volume type")


def _node_affinity(value: Any, path: str) -> Iterator[FieldError]:
    if value.get("required") is None:
        yield required(f"{path}.required", "must specify required node constraints")
    else:
        yield from node_selector(value["required"], f"{path}.required")


_VOLUME_FIELDS = fields(
    accessModes=_modes,
    persistentVolumeReclaimPolicy=one_of("Delete", "Recycle", "Retain"),
    nodeAffinity=_node_affinity,
    storageClassName=_subdomain,
    volumeMode=_VOLUME_MODE,
)


# -- storage classes


def _parameters(value: Any, path: str) -> Iterator[FieldError]:
    if len(value) > _MOST_PARAMETERS:
        yield FieldError("FieldValueTooLong", path, "", f"may not be more than {_MOST_PARAMETERS} bytes")
        return
    if "" in value:
        yield invalid(path, "", "field can not be empty.")
    if sum(len(key) + len(text) for key, text in value.items()) > _LONGEST_PARAMETERS:
        yield FieldError("FieldValueTooLong", path, "", f"may not be more than {_LONGEST_PARAMETERS} bytes")


def _topologies(value: Any, path: str) -> Iterator[FieldError]:
    """Terms that differ. One without an expression is like an empty one."""
    seen: list[dict[str, set[str]]] = [{}]
    for index, term in enumerate(value):
        here = f"{path}[{index}].matchLabelExpressions"
        found: dict[str, set[str]] = {}
        for number, each in enumerate(term.get("matchLabelExpressions") or ()):
            place, key, values = f"{here}[{number}]", each.get("key") or "", each.get("values") or ()
            if not values:
                yield required(f"{place}.values")
            for position, content in enumerate(values):
                if content in values[:position]:
                    yield FieldError("FieldValueDuplicate", f"{place}.values[{position}]", content, "")
            yield from label_key(key, f"{place}.key")
            if key in found:
                yield FieldError("FieldValueDuplicate", f"{place}.key", key, "")
            found[key] = set(values)
        if found in seen:
            yield FieldError("FieldValueDuplicate", here, "", "")
        seen.append(found)


def _provisioner(obj: Any, path: str) -> Iterator[FieldError]:
    del path
    given = obj.get("provisioner") or ""
    if not given:
        yield required("provisioner")
        return
    for text in qualified_name_errors(given.lower()):
        yield invalid("provisioner", given, text)


storage_class = all_of(
    _provisioner,
    fields(
        parameters=_parameters,
        reclaimPolicy=one_of("Delete", "Retain"),
        volumeBindingMode=listed("Immediate", "WaitForFirstConsumer"),
        allowedTopologies=_topologies,
    ),
)
"""A StorageClass has a provisioner."""
