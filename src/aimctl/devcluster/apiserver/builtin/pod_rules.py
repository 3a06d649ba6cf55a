"""The validation of pod specs, as far as operators rely on it.

Contract: the errors are those of Kubernetes' ``core/validation``, for pods and for the pod templates of Jobs. The
structures in a pod spec are checked in ``rules/pods.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.objects.names import label_errors, label_value_errors
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["pod_errors", "template_errors"]

_POLICIES = ("Always", "OnFailure", "Never")


def pod_errors(spec: Mapping[str, Any], path: str = "spec") -> Iterator[FieldError]:
    """The errors of a pod spec at this path."""
    policy = spec.get("restartPolicy")
    if policy is not None and policy not in _POLICIES:
        supported = ", ".join(f'"{each}"' for each in _POLICIES)
        text = f"supported values: {supported}"
        yield FieldError("FieldValueNotSupported", f"{path}.restartPolicy", policy, text)
    if not spec.get("containers"):
        yield FieldError("FieldValueRequired", f"{path}.containers", OMITTED, "")
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container_errors(container, f"{path}.{field}[{index}]", names)


def template_errors(template: Mapping[str, Any], path: str = "spec.template") -> Iterator[FieldError]:
    """The errors of a pod template at this path, whose labels include those with the name of the Job."""
    for value in ((template.get("metadata") or {}).get("labels") or {}).values():
        for message in label_value_errors(str(value)):
            yield FieldError("FieldValueInvalid", f"{path}.labels", value, message)
    yield from pod_errors(template.get("spec") or {}, f"{path}.spec")


def _container_errors(container: Mapping[str, Any], path: str, names: set[str]) -> Iterator[FieldError]:
    name = str(container.get("name") or "")
    if not name:
        yield FieldError("FieldValueRequired", f"{path}.name", OMITTED, "")
    for message in label_errors(name) if name else ():
        yield FieldError("FieldValueInvalid", f"{path}.name", name, message)
    if name in names:
        yield FieldError("FieldValueDuplicate", f"{path}.name", name, "")
    names.add(name)
    image = str(container.get("image") or "")
    if not image:
        yield FieldError("FieldValueRequired", f"{path}.image", OMITTED, "")
    elif image != image.strip():
        text = "must not have leading or trailing whitespace"
        yield FieldError("FieldValueInvalid", f"{path}.image", image, text)
