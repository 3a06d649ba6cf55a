"""Parses the labels of an image. The labels are not trusted.

    <prefix>.model.canonicalName            the canonical name of the model
    <prefix>.model.recommendedDeployments   JSON: [{gpuModel, gpuCount, precision, metric, profileId, description}]
    org.opencontainers.image.*              title, description, licenses, ...

``<prefix>`` is ``com.amd.aim``. A label that is missing there is read with the older prefix ``org.amd.silogen``.

Contract:
    * :func:`read_metadata` accepts any labels and never raises. It ignores invalid entries and reports each in
      ``problems`` with its path, its value and the expected value.
    * The result is valid UTF-8 and fits the schema of ``status.imageMetadata`` and the size limit of an object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import Metric, OciMetadata, Precision, RecommendedDeployment
from aimctl.domain.conditions import clip
from aimctl.domain.excerpts import excerpt
from aimctl.domain.hashing import stored_size

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_DEPLOYMENTS",
    "PREFIXES",
    "LabelMetadata",
    "read_metadata",
]

PREFIXES = ("com.amd.aim", "org.amd.silogen")
OCI_PREFIX = "org.opencontainers.image."

MAX_DEPLOYMENTS = 256
"""``maxItems`` of ``status.imageMetadata.recommendedDeployments`` in the CRD."""

MAX_LABEL = 512 * 1024
"""Characters of a label. A longer label is ignored."""

MAX_STORED_BYTES = 512 * 1024
"""Bytes of all deployments as JSON. etcd rejects objects of more than 1.5 MiB."""

MAX_GPUS = 1024
"""GPUs of one replica: the maximum in a template."""

MAX_NAME = 512
_MAX_TEXT: Mapping[str, int] = {
    "gpuModel": 63,
    "precision": 63,
    "metric": 63,
    "profileId": 512,
    "description": 4096,
}
_MAX_PROBLEMS = 5
_VALUES: Mapping[str, frozenset[str]] = {
    "metric": frozenset(map(str, Metric)),
    "precision": frozenset(map(str, Precision)),
}


@final
@dataclass(frozen=True, slots=True)
class LabelMetadata:
    """The content of the labels.

    Attributes:
        canonical_name: the canonical name of the model, or "".
        deployments: the recommended deployments in the order of the label.
        oci: the ``org.opencontainers.image`` labels, by their names in the status.
        problems: messages about ignored entries.
        is_aim: whether there is any AIM label.
    """

    canonical_name: str = ""
    deployments: tuple[RecommendedDeployment, ...] = ()
    oci: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    is_aim: bool = False

    def to_json(self) -> dict[str, Any]:
        """As in ``status.imageMetadata``."""
        out: dict[str, Any] = {}
        if self.canonical_name:
            out["canonicalName"] = self.canonical_name
        if self.deployments:
            out["recommendedDeployments"] = [item.to_json() for item in self.deployments]
        if self.oci:
            out["oci"] = dict(self.oci)
        return out


def read_metadata(labels: Mapping[str, str]) -> LabelMetadata:
    """Parse the labels of an image."""
    name = _label(labels, "canonicalName")
    text = _label(labels, "recommendedDeployments")
    problems: list[str] = []
    deployments = _deployments(text, problems) if text is not None else ()
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = [f"and {len(problems) - _MAX_PROBLEMS} more"]
    return LabelMetadata(
        _clean(name or "", MAX_NAME).strip(),
        deployments,
        tuple(_oci(labels)),
        tuple(problems),
        is_aim=name is not None or text is not None,
    )


def _label(labels: Mapping[str, str], name: str) -> str | None:
    for prefix in PREFIXES:
        value = labels.get(f"{prefix}.model.{name}")
        if isinstance(value, str):
            return value
    return None


def _oci(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    for name, field in OciMetadata.model_fields.items():
        limits = field.json_schema_extra
        value = labels.get(OCI_PREFIX + name)
        if isinstance(value, str) and value.strip() and isinstance(limits, dict):
            found.append((name, _clean(value, int(str(limits["maxLength"])))))
    return found


def _deployments(text: str, problems: list[str]) -> tuple[RecommendedDeployment, ...]:
    if len(text) > MAX_LABEL:
        problems.append(f"recommendedDeployments has {len(text)} characters; the maximum is {MAX_LABEL}")
        return ()
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be parsed"
        problems.append(f"recommendedDeployments is not JSON ({why}): {excerpt(text)}")
        return ()
    if not isinstance(items, list):
        problems.append(f"recommendedDeployments is {excerpt(items)}; it must be a list of objects")
        return ()
    if len(items) > MAX_DEPLOYMENTS:
        problems.append(
            f"recommendedDeployments has {len(items)} entries; only the first {MAX_DEPLOYMENTS} are used"
        )
    kept: list[RecommendedDeployment] = []
    room = MAX_STORED_BYTES
    for number, item in enumerate(items[:MAX_DEPLOYMENTS]):
        found = _deployment(item, f"recommendedDeployments[{number}]", problems)
        if found is None:
            continue
        room -= stored_size(found.to_json())
        if room < 0:
            problems.append(
                f"recommendedDeployments[{number}] and all later entries exceed the limit of {MAX_STORED_BYTES} bytes"
            )
            break
        kept.append(found)
    return tuple(kept)


def _deployment(item: Any, where: str, problems: list[str]) -> RecommendedDeployment | None:
    if not isinstance(item, dict):
        problems.append(f"{where} is {excerpt(item)}; it must be an object")
        return None
    fields: dict[str, Any] = {}
    wrong = []
    for name, limit in _MAX_TEXT.items():
        value = item.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            wrong.append(f"{where}.{name} is {excerpt(value)}; it must be a string")
            continue
        text = _clean(value, limit).strip()
        if name in _VALUES:
            text = text.lower()
            if text and text not in _VALUES[name]:
                wrong.append(f"{where}.{name} is {excerpt(value)}; it must be {_choice(_VALUES[name])}")
                continue
        if text:
            fields[name] = text
    count = item.get("gpuCount")
    if count is not None:
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_GPUS:
            wrong.append(f"{where}.gpuCount is {excerpt(count)}; it must be a number from 0 to {MAX_GPUS}")
        else:
            fields["gpuCount"] = count
    if not wrong and not fields:
        wrong.append(f"{where} has no known field: {excerpt(sorted(item)[:8])}")
    problems += wrong
    return None if wrong else RecommendedDeployment.model_validate(fields)


def _clean(text: str, limit: int) -> str:
    """The text cut to ``limit`` characters, with a replacement for surrogates and control characters."""
    kept = "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for char in text[: limit + 1]
    )
    return clip(kept, limit)


def _choice(values: frozenset[str]) -> str:
    *most, last = sorted(values)
    return f"{', '.join(most)} or {last}"
