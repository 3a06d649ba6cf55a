"""GPU models that nodes offer, from the labels of the nodes.

Contract: :func:`models_of` returns the normalised GPU models of one node. :func:`normalise` maps every spelling of a
model to one form, so ``Instinct MI300X`` in a template matches the device ID ``74a1`` of a node.

Sources: the device IDs are the PCI IDs that AMD's node labeller writes. The product names are those that NVIDIA's GPU
feature discovery writes, such as ``NVIDIA-A100-SXM4-40GB``.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AMD_DEVICE_IDS",
    "models_of",
    "normalise",
    "resource_name",
]

AMD_DEVICE_IDS: Mapping[str, str] = MappingProxyType({
    "738c": "MI100", "738e": "MI100",
    "7408": "MI250X", "740c": "MI250X",
    "740f": "MI210", "7410": "MI210",
    "74a0": "MI300A",
    "74a1": "MI300X", "74a9": "MI300X", "74b5": "MI300X", "74bd": "MI300X",
    "74a2": "MI308X", "74a8": "MI308X", "74b6": "MI308X",
    "74a5": "MI325X", "74b9": "MI325X",
    "75a0": "MI350X", "75b0": "MI350X",
    "75a3": "MI355X", "75b3": "MI355X",
})  # fmt: skip
"""PCI device ID -> model."""

_DEVICE_ID = ("amd.com/gpu.device-id", "beta.amd.com/gpu.device-id")
_TEXT = (
    "nvidia.com/gpu.product",
    "nvidia.com/mig.product",
    "feature.node.kubernetes.io/nvidia-gpu-model",
    "amd.com/gpu.product-name",
    "beta.amd.com/gpu.product-name",
)
_FAMILY = ("amd.com/gpu.family", "beta.amd.com/gpu.family")

_INSTINCT = re.compile(r"MI[0-9]{2,3}[A-Z]?")
_WORD = re.compile(r"[A-Z]{1,3}[0-9]{1,4}[A-Z]{0,2}|[0-9]{4}")
_NOISE = frozenset({
    "NVIDIA", "AMD", "TESLA", "QUADRO", "GEFORCE", "GRID", "INSTINCT", "RADEON", "GPU", "GRAPHICS",
})  # fmt: skip
_FORM_FACTOR = re.compile(r"SXM[0-9]?|PCIE|NVL[0-9]*|OAM|HBM[0-9]E?|HGX|DGX|MIG|[0-9]+GB|VF")


def normalise(text: str) -> str:
    """The model in a product name: upper case, without vendor, form factor and memory; "" for blank text.

    A text without a word that looks like a model is returned in upper case, its words joined by dashes. The function is
    idempotent.
    """
    words = [word for word in re.split(r"[^A-Z0-9.]+", text.upper()) if word]
    for word in words:
        if found := _INSTINCT.fullmatch(word):
            return found[0]
    useful = [word for word in words if word not in _NOISE and not _FORM_FACTOR.fullmatch(word)]
    for position, word in enumerate(useful):
        if _WORD.fullmatch(word):
            # "RTX 4090": the number alone is ambiguous
            if word.isdigit():
                return "".join(useful[max(0, position - 1) : position + 1])
            return word
    return "-".join(useful) or "-".join(words)


def models_of(labels: Mapping[str, str]) -> frozenset[str]:
    """The normalised GPU models of a node.

    Labels with a count (``amd.com/gpu.device-id.74a1=8``) are ignored if the count is zero. Unknown device IDs, and
    families that are not the name of a model, are ignored.
    """
    found: set[str] = set()
    for key, value in labels.items():
        if key in _DEVICE_ID:
            found.add(_by_id(value))
        elif key in _TEXT:
            found.add(normalise(value))
        elif key in _FAMILY:
            found.add(_by_family(value))
        elif value != "0":
            for prefix in _DEVICE_ID:
                if key.startswith(prefix + "."):
                    found.add(_by_id(key[len(prefix) + 1 :]))
            for prefix in (*_FAMILY, *_TEXT[3:]):
                if key.startswith(prefix + "."):
                    found.add(_by_family(key[len(prefix) + 1 :]))
    return frozenset(found - {""})


def resource_name(model: str) -> str:
    """The extended resource that pods request for this model: AMD's for Instinct models, otherwise NVIDIA's."""
    return "amd.com/gpu" if _INSTINCT.fullmatch(normalise(model)) else "nvidia.com/gpu"


def _by_id(device_id: str) -> str:
    return AMD_DEVICE_IDS.get(device_id.lower().removeprefix("0x"), "")


def _by_family(text: str) -> str:
    model = normalise(text)
    return model if _INSTINCT.fullmatch(model) else ""
