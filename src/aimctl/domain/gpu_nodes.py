"""What the nodes of a cluster offer: GPU models, partitions, counts, extended resources, and labels to select them.

Contract:
    * :func:`gpus_of` reads one Node. The GPU model comes from its labels, the count from its allocatable resources,
      otherwise from its capacity. If neither has the resource, the count is unknown, and the node is assumed to have
      enough.
    * A node that is cordoned or not Ready offers nothing; :attr:`Gpus.withdrawn` has its models for messages.
    * :meth:`Gpus.shortfall` says in words what a template needs and no node offers.
    * :meth:`Gpus.node_affinity` restricts pods to the nodes that have the GPU model. It names the labels by which the
      nodes were recognised, so it selects no node that reports another model.

A model without a partition, such as ``A100``, means whole GPUs; partitions of it are used if no node has whole ones.
With a partition (``A100-MIG-1g.5gb``, ``MI300X-CPX-NPS4``) only that one is used.

Sources of the names: NVIDIA's device plugin calls partitions ``nvidia.com/mig-<profile>`` (strategy "mixed") or
``nvidia.com/gpu`` (strategy "single"); AMD's calls them ``amd.com/<compute>_<memory>`` or ``amd.com/gpu``. If several
pods share a GPU in turn, NVIDIA's appends ``.shared`` to the name on request (``renameByDefault``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, final

from aimctl.domain.gpus import AMD_DEVICE_IDS, AMD_RESOURCE, normalise, partition_of, recognise, resource_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from aimctl.kubetypes import Node

__all__ = ["Gpus", "NodeGpus", "Offer", "gpus_of"]

CORDONED, NOT_READY = "cordoned", "not Ready"

_AMD_PARTITION = re.compile(r"amd\.com/([a-z]{3}_nps[0-9])")
_WHOLE = re.compile(r"spx_nps[0-9]")
_DEVICE_ID_KEY = re.compile(r"(?:beta\.)?amd\.com/gpu\.device-id")
_NVIDIA_RESOURCE = "nvidia.com/gpu"
_SLICED = ".shared"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_MAX_MODELS_NAMED = 8


class Offer(NamedTuple):
    """GPUs of one model on a node, under one extended resource, recognised by one label.

    Attributes:
        model: normalised.
        partition: ``1g.5gb`` or ``cpx_nps4``; "" for whole GPUs.
        resource: the extended resource that pods request.
        number: what one node has; None if the node does not report it.
        key, operator, value: the requirement of a node affinity that the label fulfils.
    """

    model: str
    partition: str
    resource: str
    number: int | None
    key: str
    operator: str
    value: str


@final
@dataclass(frozen=True, slots=True)
class NodeGpus:
    """The GPUs of one node, and why they cannot be used; "" if they can."""

    offers: frozenset[Offer] = frozenset()
    obstacle: str = ""


def gpus_of(labels: Mapping[str, str], node: Node) -> NodeGpus:
    """The GPUs of a node with these labels."""
    amounts = {**(node.status.capacity or {}), **(node.status.allocatable or {})}
    recognised = recognise(labels)
    counted = {item.model: item.number for item in recognised if item.number is not None}
    offers = set()
    for item in recognised:
        operator, value = ("Gt", "0") if item.number is not None else ("In", item.value)
        for partition, resource in _resources(item.key, item.value, amounts):
            number = _least(_number(amounts.get(resource)), counted.get(item.model))
            if number != 0:
                offers.add(Offer(item.model, partition, resource, number, item.key, operator, value))
    obstacle = ""
    if node.spec.unschedulable:
        obstacle = CORDONED
    elif any(item.type == "Ready" and item.status != "True" for item in node.status.conditions or ()):
        obstacle = NOT_READY
    return NodeGpus(frozenset(offers), obstacle)


def _resources(key: str, value: str, amounts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The partitions and extended resources of the GPUs that a label reports."""
    if "amd.com/" in key:
        found = {match[1]: name for name in amounts if (match := _AMD_PARTITION.fullmatch(name))}
        if AMD_RESOURCE in amounts or not found:
            yield "", AMD_RESOURCE
        for partition, name in found.items():
            yield "" if _WHOLE.fullmatch(partition) else partition, name
        return
    partition = partition_of(value)
    own = f"nvidia.com/mig-{partition}"
    shared = key == "nvidia.com/gpu.product" or (
        _NVIDIA_RESOURCE in amounts and not key.startswith("nvidia.com/mig-")
    )
    resource = own if partition and (own in amounts or not shared) else _NVIDIA_RESOURCE
    sliced = f"{resource}{_SLICED}"
    yield partition, sliced if sliced in amounts and not _number(amounts.get(resource)) else resource


@final
@dataclass(frozen=True, slots=True)
class Gpus:
    """What all nodes offer.

    Attributes:
        offers: of the nodes that can be used. Nodes with the same offer count once.
        withdrawn: model and obstacle of the nodes that cannot be used.
    """

    offers: frozenset[Offer] = frozenset()
    withdrawn: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, nodes: Iterable[NodeGpus]) -> Gpus:
        """The sum of some nodes."""
        offers: set[Offer] = set()
        withdrawn: set[tuple[str, str]] = set()
        for node in nodes:
            if node.obstacle:
                withdrawn |= {(offer.model, node.obstacle) for offer in node.offers}
            else:
                offers |= node.offers
        return cls(frozenset(offers), frozenset(withdrawn))

    @property
    def models(self) -> frozenset[str]:
        """The normalised models that at least one node offers."""
        return frozenset(offer.model for offer in self.offers)

    def changed_models(self, other: Gpus) -> frozenset[str]:
        """The models about which this and ``other`` differ."""
        differing = {offer.model for offer in self.offers ^ other.offers}
        return frozenset(differing | {model for model, _ in self.withdrawn ^ other.withdrawn})

    def shortfall(self, model: str | None, count: int | None) -> str:
        """What is needed and no node offers, such as "GPU H100, which no node offers"; "" if some node has enough.

        Without a model, only nodes that report how many GPUs they have are compared.
        """
        if not model:
            most = _most([offer.number for offer in self.offers])
            return (
                f"{count} GPUs, and no node has more than {most}"
                if count and most is not None and most < count
                else ""
            )
        name, partition = normalise(model), partition_of(model)
        offers = [offer for offer in self.offers if offer.model == name]
        if name and not offers:
            return f"GPU {name}, which no node offers{self._withdrawn(name)}"
        if partition and all(offer.partition != partition for offer in offers):
            others = ", ".join(sorted({offer.partition or "whole GPUs" for offer in offers}))
            return f"partition {partition} of GPU {name}, which no node offers; nodes offer {others}"
        most = _most([offer.number for offer in self._usable(model)])
        if count and most is not None and most < count:
            return f"{count} {name} GPUs, and no node has more than {most}{self._withdrawn(name)}"
        return ""

    def resource(self, model: str) -> str:
        """The extended resource that pods request for a model; by the name of the model if no node offers it."""
        offers = self._usable(model)
        if offers:
            return min(offer.resource for offer in offers)
        partition = partition_of(model)
        found = resource_name(model)
        return f"nvidia.com/mig-{partition}" if partition and found == _NVIDIA_RESOURCE else found

    def node_affinity(self, model: str, current: Any = None) -> dict[str, Any]:
        """The ``nodeAffinity`` of pods that need a model; empty if nothing is known about its nodes.

        Args:
            model: of the template.
            current: the one that the pods have. It is kept if it selects only nodes with this model, and at least
                one of them: a node with another label must not cause a rollout.
        """
        known = list(_requirements(current))
        if self._selects(known, model):
            return _affinity(known)
        ids = [device for device, name in AMD_DEVICE_IDS.items() if name == normalise(model)]
        offers = self._usable(model)
        wanted = {(offer.key, offer.operator, offer.value) for offer in offers}
        keys = {
            offer.key for offer in offers if offer.operator == "In" and _DEVICE_ID_KEY.fullmatch(offer.key)
        }
        if not offers:
            keys.add("amd.com/gpu.device-id")
        # All of the model's device IDs, so that another node of the same kind does not change the pods.
        return _affinity([*wanted, *((key, "In", device) for key in keys for device in ids)])

    def _selects(self, required: Collection[_Requirement], model: str) -> bool:
        """Whether these requirements select nodes with the GPUs of a model and no others."""
        offers = self._usable(model)
        partition = offers[0].partition if offers else partition_of(model)
        for key, operator, value in required:
            found = recognise({key: value if operator == "In" else "1"})
            if [item.model for item in found] != [normalise(model)]:
                return False
            if "nvidia.com/" in key and partition_of(value) != partition:
                return False
        selected = {(offer.key, offer.operator, offer.value) for offer in offers}
        return bool(required) and (not offers or not selected.isdisjoint(required))

    def describe(self) -> str:
        """The models, for messages."""
        names = sorted(self.models)
        more = f" and {len(names) - _MAX_MODELS_NAMED} more" if len(names) > _MAX_MODELS_NAMED else ""
        return (", ".join(names[:_MAX_MODELS_NAMED]) + more) or "no GPUs"

    def _usable(self, model: str) -> list[Offer]:
        """The offers that a template of this model uses: all of the same resource, whole GPUs before partitions."""
        name, partition = normalise(model), partition_of(model)
        offers = [
            offer
            for offer in self.offers
            if offer.model == name and (not partition or offer.partition == partition)
        ]
        if not offers:
            return []
        chosen = min((bool(offer.partition), offer.resource) for offer in offers)
        return [offer for offer in offers if (bool(offer.partition), offer.resource) == chosen]

    def _withdrawn(self, model: str) -> str:
        why = sorted({obstacle for name, obstacle in self.withdrawn if name == model})
        return f" (a node that has it is {' or '.join(why)})" if why else ""


_Requirement: TypeAlias = tuple[str, str, str]
"""Key, operator and value."""


def _affinity(requirements: Iterable[_Requirement]) -> dict[str, Any]:
    """The node affinity that one of these requirements fulfils; empty if there are none."""
    values: dict[tuple[str, str], set[str]] = {}
    for key, operator, value in requirements:
        values.setdefault((key, operator), set()).add(value)
    terms = [
        {"matchExpressions": [{"key": key, "operator": operator, "values": sorted(found)}]}
        for (key, operator), found in sorted(values.items())
    ]
    return {_REQUIRED: {"nodeSelectorTerms": terms}} if terms else {}


def _requirements(affinity: Any) -> Iterator[_Requirement]:
    """The requirements of a node affinity that :meth:`Gpus.node_affinity` has written; an empty one for other forms."""
    try:
        for term in affinity[_REQUIRED]["nodeSelectorTerms"]:
            (requirement,) = term["matchExpressions"]
            for value in requirement["values"]:
                yield str(requirement["key"]), str(requirement["operator"]), str(value)
    except (TypeError, KeyError, ValueError):
        yield "", "", ""


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _least(first: int | None, second: int | None) -> int | None:
    known = [number for number in (first, second) if number is not None]
    return min(known) if known else None


def _most(numbers: Iterable[int | None]) -> int | None:
    """The largest; None if one is unknown, because it may be enough."""
    known = list(numbers)
    return None if not known or None in known else max(number for number in known if number is not None)
