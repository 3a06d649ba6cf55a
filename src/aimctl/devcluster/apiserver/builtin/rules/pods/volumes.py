"""The validation of the volumes of pods, and of how containers mount them.

Contract: that of the checks in ``rules/checks.py``. The sources of plug-ins that were removed from Kubernetes, such as
``flocker``, ``quobyte`` and ``scaleIO``, are not checked.

Source: Kubernetes' ``core/validation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    fields,
    file_mode,
    items,
    one_of,
    path_in_volume,
    path_without_steps_back,
    relative_path,
)
from aimctl.devcluster.apiserver.builtin.rules.pods.variables import (
    FILE_FIELDS,
    field_of_pod,
    resource_of_container,
)
from aimctl.devcluster.apiserver.objects.names import field_label_errors, subdomain_errors
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.devcluster.apiserver.builtin.rules.checks import Check

__all__ = ["VOLUME_SOURCES", "devices_of", "mounts_of", "volume_errors", "volumes_of"]

_SHORTEST_TOKEN, _LONGEST_TOKEN = 600, 1 << 32
_HOST_PATHS = (
    *("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate"),
    *("File", "FileOrCreate", "Socket"),
)
_LONGEST_DRIVER = 63


def _filled(*names: str) -> Check:
    """The fields that a source must have."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for name in names:
            if not value.get(name):
                yield required(f"{path}.{name}")

    return check


def _key_to_path(value: Any, path: str) -> Iterator[FieldError]:
    if not value.get("key"):
        yield required(f"{path}.key")
    yield from path_in_volume(value.get("path"), f"{path}.path")
    yield from file_mode(value.get("mode"), f"{path}.mode")


def _keys_of(name: str) -> Check:
    """A Secret or ConfigMap, which the field names, as a volume."""
    needs, parts = _filled(name), fields(defaultMode=file_mode, items=items(_key_to_path))

    def check(value: Any, path: str) -> Iterator[FieldError]:
        yield from needs(value, path)
        yield from parts(value, path)

    return check


def _empty_dir(value: Any, path: str) -> Iterator[FieldError]:
    if amount(value.get("sizeLimit") or 0) < 0:
        yield forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(value: Any, path: str) -> Iterator[FieldError]:
    if not value.get("path"):
        yield required(f"{path}.path")
        return
    yield from path_without_steps_back(value["path"], f"{path}.path")
    kind = value.get("type")
    if kind is not None and kind not in _HOST_PATHS:
        yield unsupported(f"{path}.type", kind, _HOST_PATHS)


def _nfs(value: Any, path: str) -> Iterator[FieldError]:
    yield from _filled("server", "path")(value, path)
    if not (value.get("path") or "").startswith("/"):
        yield invalid(f"{path}.path", value.get("path") or "", "must be an absolute path")


def _driver(value: Any, path: str) -> Iterator[FieldError]:
    if not value:
        yield required(path)
        return
    if len(value) > _LONGEST_DRIVER:
        text = f"may not be more than {_LONGEST_DRIVER} bytes"
        yield FieldError("FieldValueTooLong", path, OMITTED, text)
    for text in subdomain_errors(value.lower()):
        yield invalid(path, value, text)


def csi(value: Any, path: str) -> Iterator[FieldError]:
    """A volume of a CSI driver."""
    yield from _driver(value.get("driver"), f"{path}.driver")
    secret = value.get("nodePublishSecretRef")
    if secret is not None and not secret.get("name"):
        yield required(f"{path}.nodePublishSecretRef.name")


def _file_of_pod(value: Any, path: str) -> Iterator[FieldError]:
    yield from path_in_volume(value.get("path"), f"{path}.path")
    field, resource = value.get("fieldRef"), value.get("resourceFieldRef")
    if field is not None:
        yield from field_of_pod(field, f"{path}.fieldRef", FILE_FIELDS)
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield invalid(path, "resource", text)
    elif resource is not None:
        yield from resource_of_container(resource, f"{path}.resourceFieldRef", in_file=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from file_mode(value.get("mode"), f"{path}.mode")


def _downward(value: Any, path: str) -> Iterator[FieldError]:
    """Files with fields of the pod. Their errors have the path of the volume's source."""
    yield from file_mode(value.get("defaultMode"), f"{path}.defaultMode")
    for item in value.get("items") or ():
        yield from _file_of_pod(item, path)


def _token(value: Any, path: str, outer: str) -> Iterator[FieldError]:
    seconds = value.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_TOKEN:
        text = "may not specify a duration less than 10 minutes"
        yield invalid(f"{path}.expirationSeconds", seconds, text)
    elif seconds is not None and seconds > _LONGEST_TOKEN:
        text = "may not specify a duration larger than 2^32 seconds"
        yield invalid(f"{path}.expirationSeconds", seconds, text)
    yield from path_in_volume(value.get("path"), f"{outer}.path")


def _projected(value: Any, path: str) -> Iterator[FieldError]:
    """Files of several sources, whose paths differ."""
    yield from file_mode(value.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, source in enumerate(value.get("sources") or ()):
        here = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap", "downwardAPI"):
            part = source.get(kind)
            if part is None:
                continue
            for item, error in _projected_files(kind, part, f"{here}.{kind}"):
                if error is not None:
                    yield error
                    continue
                if item in taken:
                    shown = item if kind == "downwardAPI" else part.get("name") or ""
                    yield invalid(path, shown, "conflicting duplicate paths")
                taken.add(item)
        if source.get("serviceAccountToken") is not None:
            yield from _token(source["serviceAccountToken"], f"{here}.serviceAccountToken", path)
        if len(source) > 1:
            yield forbidden(here, "may not specify more than 1 volume type per source")


def _projected_files(kind: str, part: Any, path: str) -> Iterator[tuple[str, FieldError | None]]:
    """The errors of a source, and the paths of its files in the same order."""
    if kind != "downwardAPI" and not part.get("name"):
        yield "", required(f"{path}.name")
    for index, item in enumerate(part.get("items") or ()):
        found = (
            _file_of_pod(item, path)
            if kind == "downwardAPI"
            else _key_to_path(item, f"{path}.items[{index}]")
        )
        for error in found:
            yield "", error
        if item.get("path"):
            yield item["path"], None


VOLUME_SOURCES: Mapping[str, Check] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _filled("repository"),
    "gcePersistentDisk": _filled("pdName"),
    "awsElasticBlockStore": _filled("volumeID"),
    "secret": _keys_of("secretName"),
    "nfs": _nfs,
    "iscsi": _filled("targetPortal", "iqn"),
    "persistentVolumeClaim": _filled("claimName"),
    "rbd": _filled("monitors", "image"),
    "cinder": _filled("volumeID"),
    "cephfs": _filled("monitors"),
    "downwardAPI": _downward,
    "configMap": _keys_of("name"),
    "azureFile": _filled("secretName", "shareName"),
    "vsphereVolume": _filled("volumePath"),
    "projected": _projected,
    "csi": csi,
    "ephemeral": _filled("volumeClaimTemplate"),
    "image": fields(pullPolicy=one_of("Always", "IfNotPresent", "Never")),
}
"""The checks of the sources of volumes, in the order in which the server looks for them."""
_RENAMED = {"gcePersistentDisk": "persistentDisk"}


def volume_errors(value: Any, path: str) -> Iterator[FieldError]:
    """A volume has one source, which is valid. Without one, an empty directory is the default."""
    sources = [name for name in value if name != "name"]
    if len(sources) > 1:
        sources = [name for name in VOLUME_SOURCES if name in value] or sources
    check = VOLUME_SOURCES.get(sources[0]) if sources else None
    if check is not None:
        yield from check(value[sources[0]], f"{path}.{_RENAMED.get(sources[0], sources[0])}")
    for name in sources[1:]:
        shown = "downwarAPI" if name == "downwardAPI" else name
        yield forbidden(f"{path}.{shown}", "may not specify more than 1 volume type")


def volumes_of(spec: Any, path: str, valid: dict[str, Any]) -> Iterator[FieldError]:
    """The volumes of a pod, which have different names. Those without an error are added to ``valid``."""
    for index, each in enumerate(spec.get("volumes") or ()):
        here = f"{path}.volumes[{index}]"
        errors = list(volume_errors(each, here))
        name = each.get("name") or ""
        errors += () if name else (required(f"{here}.name"),)
        errors += [invalid(f"{here}.name", name, text) for text in (field_label_errors(name) if name else ())]
        if name in valid:
            errors.append(FieldError("FieldValueDuplicate", f"{here}.name", name, ""))
        yield from errors
        if not errors:
            valid[name] = each


def mounts_of(container: Any, volumes: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """The mounts of a container refer to volumes of the pod and have different paths."""
    mounts = container.get("volumeMounts")
    if not mounts:
        return
    devices = {each.get("name"): each.get("devicePath") for each in container.get("volumeDevices") or ()}
    places: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{path}.volumeMounts[{index}]"
        name, place = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{here}.name")
        if name not in volumes:
            yield FieldError("FieldValueNotFound", f"{here}.name", name, "")
        if not place:
            yield required(f"{here}.mountPath")
        if place in places:
            yield invalid(f"{here}.mountPath", place, "must be unique")
        places.add(place)
        if name in devices:
            yield invalid(f"{here}.name", name, "must not already exist in volumeDevices")
        if place in devices.values():
            yield invalid(f"{here}.mountPath", place, "must not already exist as a path in volumeDevices")
        if len(mount) > 2:
            yield from _mount_options(mount, f"{path}.volumeMounts", here, container)


def _mount_options(mount: Any, path: str, here: str, container: Any) -> Iterator[FieldError]:
    """What few mounts have. Most errors have the path of the list."""
    inner, expression = mount.get("subPath"), mount.get("subPathExpr")
    yield from relative_path(inner, f"{path}.subPath")
    if expression and inner:
        text = "subPathExpr and subPath are mutually exclusive"
        yield invalid(f"{here}.subPathExpr", expression, text)
    yield from relative_path(expression, f"{path}.subPathExpr")
    spread = mount.get("mountPropagation")
    if spread is not None:
        allowed = ("Bidirectional", "HostToContainer", "None")
        if spread not in allowed:
            yield unsupported(f"{path}.mountPropagation", spread, allowed)
        elif spread == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            text = "Bidirectional mount propagation is available only to privileged containers"
            yield forbidden(f"{path}.mountPropagation", text)
    recursive = mount.get("recursiveReadOnly")
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            yield forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true")
        if spread not in (None, "None"):
            text = "may only be specified when mountPropagation is None or not specified"
            yield forbidden(f"{path}.recursiveReadOnly", text)
    elif recursive not in (None, "Disabled"):
        yield unsupported(f"{path}.recursiveReadOnly", recursive, ("Disabled", "Enabled", "IfPossible"))


def devices_of(container: Any, volumes: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """The block devices of a container are claims of the pod and have different names and paths."""
    mounts = {each.get("name"): each.get("mountPath") for each in container.get("volumeMounts") or ()}
    names: set[str] = set()
    places: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        here = f"{path}.volumeDevices[{index}]"
        name, place = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            yield required(f"{here}.name")
        if name in names:
            yield invalid(f"{here}.name", name, "must be unique")
        source = volumes.get(name)
        if source is None:
            yield FieldError("FieldValueNotFound", f"{here}.name", name, "")
        elif "persistentVolumeClaim" not in source and "ephemeral" not in source:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid(f"{here}.name", name, text)
        if not place:
            yield required(f"{here}.devicePath")
        if place in places:
            yield invalid(f"{here}.devicePath", place, "must be unique")
        if ".." in place.split("/"):
            yield invalid(f"{here}.devicePath", place, "can not contain backsteps ('..')")
        else:
            places.add(place)
        if name in mounts:
            yield invalid(f"{here}.name", name, "must not already exist in volumeMounts")
        if place in mounts.values():
            yield invalid(f"{here}.devicePath", place, "must not already exist as a path in volumeMounts")
        names.add(name)
