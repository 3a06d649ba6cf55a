"""Samples that fill the discovery queue: thirty templates in one namespace, of which twenty have to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import API_VERSION, SERVICE_TEMPLATES, Metric, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["QUEUE_LENGTH", "QUEUE_NAMESPACE", "queue_filler"]

QUEUE_LENGTH = 30
"""Three times the default discovery limit."""

QUEUE_NAMESPACE = "ml-batch"
_MODEL = "qwen3-32b"


def queue_filler() -> Sequence[dict[str, Any]]:
    """Return the templates, each with a different combination of metric, precision and GPU count."""
    metrics, precisions = tuple(Metric), tuple(Precision)
    return [
        {
            "apiVersion": API_VERSION,
            "kind": SERVICE_TEMPLATES.name,
            "metadata": {"name": f"qwen3-32b-{number:02}", "namespace": QUEUE_NAMESPACE},
            "spec": {
                "modelName": _MODEL,
                "metric": str(metrics[number % len(metrics)]),
                "precision": str(precisions[number // len(metrics) % len(precisions)]),
                "gpuSelector": {"count": 1 + number // (len(metrics) * len(precisions)), "model": "MI300X"},
            },
        }
        for number in range(QUEUE_LENGTH)
    ]
