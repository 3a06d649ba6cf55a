"""The image of a model: the condition ``MetadataExtracted`` and ``status.imageMetadata``.

Contract:
    * Metadata stays in the status while a new image is being read or cannot be read.
    * While an image is being read, the condition keeps an error that was reported for the same generation, so a retry
      does not change the status.

Reasons of the condition:
    True    Extracted
    False   NoLabels, Disabled: final
            ReadingMetadata: in progress
            InvalidImage, ImageNotFound, AccessDenied, RegistryUnreachable, MalformedMetadata,
            PullSecretNotFound, PullSecretInvalid, PullSecretUnreadable: the image cannot be read
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.domain.conditions import Finding, rfc3339
from aimctl.domain.images.reading import FailedReading, Reading
from aimctl.domain.resolution import Missing
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.models.observation import ModelObservation

__all__ = [
    "DISABLED",
    "FINAL",
    "METADATA_EXTRACTED",
    "READING",
    "decide_image_metadata",
]

METADATA_EXTRACTED = "MetadataExtracted"
EXTRACTED, NO_LABELS, DISABLED, READING = "Extracted", "NoLabels", "Disabled", "ReadingMetadata"
FINAL = frozenset({EXTRACTED, NO_LABELS, DISABLED})
"""Reasons of an image that needs no further attempt."""


def decide_image_metadata(seen: ModelObservation) -> tuple[Finding, Mapping[str, Any]]:
    """The condition ``MetadataExtracted``, and ``status.imageMetadata``, which may be empty."""
    metadata = seen.status.image_metadata
    known = metadata.to_json() if metadata is not None else {}
    image = seen.spec.image
    if isinstance(seen.runtime_config, Missing):
        return _unchanged(seen, f"waiting for the runtime config: {seen.runtime_config.message}"), known
    if not seen.enabled:
        # The metadata of another image would be wrong; that of this image still applies.
        return Finding(False, DISABLED, _why_disabled(seen)), known if known.get("image") == image else {}
    if isinstance(seen.reading, Reading):
        return _extracted(seen, seen.reading, known)
    if seen.open_question is None:
        return _known(seen), known
    if isinstance(seen.reading, FailedReading):
        return Finding(False, seen.reading.reason, seen.reading.message), known
    return _unchanged(seen, f"the labels of {image} are being read"), known


def _unchanged(seen: ModelObservation, in_progress: str) -> Finding:
    """An error that was reported for this generation, or else ``in_progress``."""
    before = find_condition(seen.status.conditions, METADATA_EXTRACTED)
    if (
        before is None
        or before.observed_generation != seen.model.meta.generation
        or before.reason in FINAL | {READING}
    ):
        return Finding(False, READING, in_progress)
    return Finding(False, before.reason, before.message)


def _why_disabled(seen: ModelObservation) -> str:
    discovery = seen.spec.discovery
    if discovery is not None and discovery.enabled is not None:
        return "the image is not read because spec.discovery.enabled is false"
    return (
        "the image is not read because the runtime config sets model.autoDiscovery to false; set"
        " spec.discovery.enabled to read it"
    )


def _known(seen: ModelObservation) -> Finding:
    """The finding of an image whose metadata is in the status."""
    before = find_condition(seen.status.conditions, METADATA_EXTRACTED)
    if before is not None and before.reason in (EXTRACTED, NO_LABELS):
        return Finding(before.status == "True", before.reason, before.message)
    # It was read before, and discovery was disabled in between.
    metadata = seen.status.image_metadata
    count = len(metadata.recommended_deployments) if metadata is not None else 0
    return _labels(seen, count, is_aim=bool(count or (metadata and metadata.canonical_name)))


def _extracted(
    seen: ModelObservation, reading: Reading, known: Mapping[str, Any]
) -> tuple[Finding, Mapping[str, Any]]:
    found = reading.metadata
    metadata = {
        "image": seen.spec.image,
        "digest": reading.digest,
        **found.to_json(),
        "extractedAt": rfc3339(seen.now),
        "inputHash": seen.question.hash,
    }
    finding = _labels(seen, len(found.deployments), is_aim=found.is_aim, problems=found.problems)
    if reading.skipped:
        finding = finding._replace(message=f"{finding.message}; skipped: {reading.skipped}")
    same = {**known, "extractedAt": ""} == {**metadata, "extractedAt": ""}
    return finding, known if same else metadata


def _labels(seen: ModelObservation, count: int, *, is_aim: bool, problems: tuple[str, ...] = ()) -> Finding:
    image = seen.spec.image
    if not is_aim:
        return Finding(False, NO_LABELS, f"{image} has no com.amd.aim.model labels, so it has no metadata")
    text = f"{image} recommends {count} deployment{'' if count == 1 else 's'}"
    return Finding(True, EXTRACTED, f"{text}; ignored: {'; '.join(problems)}" if problems else text)
