"""Simulated machines with accelerators, labelled as the vendors' node labellers do."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from aimctl.devcluster.node.machines import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["gpu_machine", "gpu_machines"]

_AMD_DEVICES: Mapping[str, str] = MappingProxyType(
    {"MI100": "738c", "MI210": "740f", "MI250X": "7408", "MI300A": "74a0", "MI300X": "74a1"}
    | {"MI308X": "74a2", "MI325X": "74a5", "MI350X": "75a0", "MI355X": "75a3"}
)
"""PCI device ids of AMD's accelerators, as in the labels of AMD's node labeller."""


def gpu_machine(name: str, gpu: str = "MI300X", count: int = 8) -> Machine:
    """A machine with accelerators: AMD's for a known ``MI...`` model, else NVIDIA's with this product label."""
    device = _AMD_DEVICES.get(gpu)
    if device is None:
        labels = {"nvidia.com/gpu.product": gpu, "nvidia.com/gpu.count": str(count)}
        return Machine(name, labels, {"nvidia.com/gpu": str(count)})
    labels = {
        "amd.com/gpu.device-id": device,
        f"amd.com/gpu.device-id.{device}": str(count),
        "amd.com/gpu.vram": "192G",
    }
    return Machine(name, labels, {"amd.com/gpu": str(count)})


def gpu_machines() -> tuple[Machine, ...]:
    """Two machines, ``node-0`` and ``node-1``, with eight MI300X each."""
    return (gpu_machine("node-0"), gpu_machine("node-1"))
