"""GPU models that nodes offer, from the labels of the nodes.

Contract: :func:`recognise` returns the labels of one node that report a GPU, with the normalised model.
:func:`normalise` maps every spelling of a model to one form, so ``Instinct MI300X`` in a template matches the device ID
``74a1`` of a node.

Sources: the device IDs are the PCI IDs that AMD's node labeller writes. The product names are those that NVIDIA's GPU
feature discovery writes, such as ``NVIDIA-A100-SXM4-40GB``.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "AMD_DEVICE_IDS",
    "AMD_RESOURCE",
    "Recognised",
    "normalise",
    "partition_of",
    "recognise",
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
_PRODUCT_NAME = ("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name")
_TEXT = (
    "nvidia.com/gpu.product",
    "nvidia.com/mig.product",
    "feature.node.kubernetes.io/nvidia-gpu-model",
    *_PRODUCT_NAME,
)
_FAMILY = ("amd.com/gpu.family", "beta.amd.com/gpu.family")

_MIG_PRODUCT = re.compile(r"nvidia\.com/mig-[0-9a-z.]+\.product")
"""The label of one kind of partition, if a node has several."""

_MIG = re.compile(r"\bMIG[-_ ]([0-9]{1,2}g\.[0-9]{1,4}gb(?:[.+][a-z]{2,4})?)", re.IGNORECASE)
_AMD_PARTITION = re.compile(r"(?<![a-z])([sdtqc]px)[-_ ]nps([0-9])", re.IGNORECASE)
_RADEON = re.compile(r"amd|radeon|instinct", re.IGNORECASE)
_DIGITS = 10

AMD_RESOURCE = "amd.com/gpu"

_INSTINCT = re.compile(r"MI[0-9]{2,3}[A-Z]?")
_WORD = re.compile(r"[A-Z]{1,3}[0-9]{1,4}[A-Z]{0,2}|[0-9]{4}")
_NOISE = frozenset({
    "NVIDIA", "AMD", "TESLA", "QUADRO", "GEFORCE", "GRID", "INSTINCT", "RADEON", "GPU", "GRAPHICS",
})  # fmt: skip
_VARIANTS = frozenset({"ADA", "TI", "SUPER"})
"""Words after a model that make it another one: "RTX 6000" is older than "RTX 6000 Ada Generation", and smaller."""
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
            name = "".join(useful[max(0, position - 1) : position]) + word if word.isdigit() else word
            return name + "".join(more for more in useful[position + 1 :] if more in _VARIANTS)
    return "-".join(useful) or "-".join(words)


def partition_of(text: str) -> str:
    """The partition in the name of a GPU: ``1g.5gb`` (NVIDIA) or ``cpx_nps4`` (AMD); "" for a whole GPU."""
    if found := _MIG.search(text):
        return found[1].lower().replace("+", ".")
    if found := _AMD_PARTITION.search(text):
        mode, memory = found[1].lower(), found[2]
        return "" if mode == "spx" else f"{mode}_nps{memory}"
    return ""


class Recognised(NamedTuple):
    """A label by which a GPU is recognised.

    Attributes:
        model: normalised.
        key, value: of the label.
        number: if the label has the model in its key and the number of GPUs as its value; otherwise None.
    """

    model: str
    key: str
    value: str
    number: int | None = None


def recognise(labels: Mapping[str, str]) -> list[Recognised]:
    """The labels of a node that report a GPU model.

    Labels with a count (``amd.com/gpu.device-id.74a1=8``) are ignored if the count is zero. Unknown device IDs, and
    families that are not the name of a model, are ignored.
    """
    return [item for item in _labels(labels) if item.model]


def _labels(labels: Mapping[str, str]) -> Iterator[Recognised]:
    for key, value in labels.items():
        if key in _DEVICE_ID:
            yield Recognised(_by_id(value), key, value)
        elif key in _TEXT or _MIG_PRODUCT.fullmatch(key):
            yield Recognised(normalise(value), key, value)
        elif key in _FAMILY:
            yield Recognised(_by_family(value), key, value)
        elif value != "0":
            for prefix, model in _COUNTED:
                if key.startswith(prefix + "."):
                    number = (
                        int(value) if value.isascii() and value.isdigit() and len(value) < _DIGITS else None
                    )
                    yield Recognised(model(key[len(prefix) + 1 :]), key, value, number)


def resource_name(model: str) -> str:
    """The extended resource of a model by its name: AMD's for Instinct and Radeon models, otherwise NVIDIA's."""
    amd = _INSTINCT.fullmatch(normalise(model)) or _RADEON.search(model)
    return AMD_RESOURCE if amd else "nvidia.com/gpu"


def _by_id(device_id: str) -> str:
    return AMD_DEVICE_IDS.get(device_id.lower().removeprefix("0x"), "")


def _by_family(text: str) -> str:
    model = normalise(text)
    return model if _INSTINCT.fullmatch(model) else ""


_COUNTED: Sequence[tuple[str, Callable[[str], str]]] = (
    *((prefix, _by_id) for prefix in _DEVICE_ID),
    *((prefix, _by_family) for prefix in _FAMILY),
    *((prefix, normalise) for prefix in _PRODUCT_NAME),
)
"""Prefixes of labels with the model in their key, and how it is read."""
