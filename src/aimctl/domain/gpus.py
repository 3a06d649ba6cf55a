"""Which GPU models a cluster's nodes offer, worked out from node labels.

Contract: :func:`models_of` maps one node's labels to normalised GPU models, :func:`normalise` maps any way
to write a model to that form, so that ``Instinct MI300X`` in a template meets device id ``74a1`` on a node.

Sources: device ids are the PCI ids that AMD's node labeller writes; product texts come from NVIDIA's GPU
feature discovery, such as ``NVIDIA-A100-SXM4-40GB``.
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
"""PCI device id -> model."""

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
    """The model in a product text: upper case, without vendor, form factor and memory; "" for blank text.

    Texts without a word that looks like a model come back in upper case, joined by dashes, so that equal
    texts still meet. Normalising twice changes nothing.
    """
    words = [word for word in re.split(r"[^A-Z0-9.]+", text.upper()) if word]
    for word in words:
        if found := _INSTINCT.fullmatch(word):
            return found[0]
    useful = [word for word in words if word not in _NOISE and not _FORM_FACTOR.fullmatch(word)]
    for position, word in enumerate(useful):
        if _WORD.fullmatch(word):
            # "RTX 4090": the number alone says too little
            if word.isdigit():
                return "".join(useful[max(0, position - 1) : position + 1])
            return word
    return "-".join(useful) or "-".join(words)


def models_of(labels: Mapping[str, str]) -> frozenset[str]:
    """The GPU models one node offers, normalised.

    Counted labels (``amd.com/gpu.device-id.74a1=8``) count when their number is not zero. Unknown device
    ids and families that name no model say nothing.
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
    """The extended resource a pod asks for to get this model: AMD's for Instinct cards, else NVIDIA's."""
    return "amd.com/gpu" if _INSTINCT.fullmatch(normalise(model)) else "nvidia.com/gpu"


def _by_id(device_id: str) -> str:
    return AMD_DEVICE_IDS.get(device_id.lower().removeprefix("0x"), "")


def _by_family(text: str) -> str:
    model = normalise(text)
    return model if _INSTINCT.fullmatch(model) else ""
