"""What nodes offer: partitions, counts, extended resources, node affinity, and nodes that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.gpu_nodes import Gpus, gpus_of
from aimctl.domain.gpus import AMD_DEVICE_IDS, partition_of
from aimctl.kubetypes import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

MIG = "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"
A100 = "NVIDIA-A100-SXM4-40GB"
DEVICE = "amd.com/gpu.device-id"


def node(
    amounts: Mapping[str, str] | None = None, *, ready: str = "", cordoned: bool = False, **status: Any
) -> Node:
    """A Node with these allocatable resources."""
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    body = {
        "spec": {"unschedulable": cordoned},
        "status": {"allocatable": amounts or {}, "conditions": conditions, **status},
    }
    return msgspec.convert(body, Node)


def offered(*nodes: tuple[Mapping[str, str], Node]) -> Gpus:
    return Gpus.of(gpus_of(labels, item) for labels, item in nodes)


def amd(count: int | None = None, device: str = "74a1", **differs: Any) -> tuple[Mapping[str, str], Node]:
    return {DEVICE: device}, node({} if count is None else {"amd.com/gpu": str(count)}, **differs)


# ---- counts


@pytest.mark.parametrize(
    ("nodes", "count", "shortfall"),
    [
        ([amd(8)], 8, ""),
        ([amd(8)], 16, "16 MI300X GPUs, and no node has more than 8"),
        ([amd(4), amd(8), amd(2)], 9, "9 MI300X GPUs, and no node has more than 8"),
        ([amd(4), amd(4)], 8, "8 MI300X GPUs, and no node has more than 4"),
        ([amd(8), amd(16, device="74a5")], 16, "16 MI300X GPUs, and no node has more than 8"),
        ([amd(None)], 16, ""),
        ([amd(None), amd(8)], 16, ""),
        ([amd(0)], 1, "GPU MI300X, which no node offers"),
        ([], 1, "GPU MI300X, which no node offers"),
        ([amd(8)], None, ""),
    ],
)
def test_a_template_needs_one_node_that_has_all_its_gpus(
    nodes: list[tuple[Mapping[str, str], Node]], count: int | None, shortfall: str
) -> None:
    assert offered(*nodes).shortfall("Instinct MI300X", count) == shortfall


def test_allocatable_counts_before_capacity() -> None:
    both = node({"amd.com/gpu": "6"}, capacity={"amd.com/gpu": "8"})
    assert offered(({DEVICE: "74a1"}, both)).shortfall("MI300X", 7)
    capacity = node(capacity={"amd.com/gpu": "8"})
    assert not offered(({DEVICE: "74a1"}, capacity)).shortfall("MI300X", 8)
    assert offered(({DEVICE: "74a1"}, capacity)).shortfall("MI300X", 9)


def test_the_counts_in_labels_distinguish_the_models_of_one_node() -> None:
    labels = {DEVICE: "74a1", f"{DEVICE}.74a1": "2", f"{DEVICE}.74a5": "6"}
    gpus = offered((labels, node({"amd.com/gpu": "8"})))
    assert not gpus.shortfall("MI300X", 2)
    assert gpus.shortfall("MI300X", 3) == "3 MI300X GPUs, and no node has more than 2"
    assert not gpus.shortfall("MI325X", 6)


def test_a_number_of_gpus_of_any_model_is_compared_with_what_the_nodes_report() -> None:
    gpus = offered(amd(4), amd(8, device="74a5"))
    assert not gpus.shortfall(None, 8)
    assert gpus.shortfall(None, 9) == "9 GPUs, and no node has more than 8"
    assert not offered().shortfall(None, 9)
    assert not gpus.shortfall(None, None)


# ---- nodes that cannot be used


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ({"cordoned": True}, "cordoned"),
        ({"ready": "False"}, "not Ready"),
        ({"ready": "Unknown"}, "not Ready"),
    ],
    ids=["cordoned", "not-ready", "unknown"],
)
def test_a_node_that_is_cordoned_or_not_ready_offers_nothing_and_is_named_as_the_cause(
    differs: dict[str, Any], why: str
) -> None:
    gpus = offered(amd(8, **differs))
    assert gpus.models == frozenset()
    assert gpus.shortfall("MI300X", 1) == f"GPU MI300X, which no node offers (a node that has it is {why})"
    largest = offered(amd(4), amd(8, **differs))
    assert (
        largest.shortfall("MI300X", 8)
        == f"8 MI300X GPUs, and no node has more than 4 (a node that has it is {why})"
    )
    assert not largest.shortfall("MI300X", 4)


def test_a_node_that_is_ready_or_has_no_conditions_yet_offers_its_gpus() -> None:
    assert offered(amd(8, ready="True")).models == offered(amd(8)).models == {"MI300X"}


# ---- resources and partitions


@pytest.mark.parametrize(
    ("text", "partition"),
    [
        (MIG, "1g.5gb"),
        ("A100-MIG-3g.20gb", "3g.20gb"),
        ("H100 MIG 1g.10gb+me", "1g.10gb.me"),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me", "1g.10gb.me"),
        ("MI300X-CPX-NPS4", "cpx_nps4"),
        ("mi300x cpx_nps1", "cpx_nps1"),
        ("MI300X-SPX-NPS1", ""),
        (A100, ""),
        ("MI300X", ""),
        ("", ""),
    ],
)
def test_the_partition_is_read_from_the_name(text: str, partition: str) -> None:
    assert partition_of(text) == partition


@pytest.mark.parametrize(
    ("labels", "amounts", "model", "resource"),
    [
        ({DEVICE: "74a1"}, {"amd.com/gpu": "8"}, "MI300X", "amd.com/gpu"),
        ({"amd.com/gpu.product-name": "AMD_Radeon_PRO_W7900"}, {}, "W7900", "amd.com/gpu"),
        ({"beta.amd.com/gpu.product-name.W6800": "2"}, {}, "W6800", "amd.com/gpu"),
        ({DEVICE: "74a1"}, {"amd.com/spx_nps1": "8"}, "MI300X", "amd.com/spx_nps1"),
        ({DEVICE: "74a1"}, {"amd.com/cpx_nps4": "64"}, "MI300X-CPX-NPS4", "amd.com/cpx_nps4"),
        ({DEVICE: "74a1"}, {"amd.com/cpx_nps4": "64"}, "MI300X", "amd.com/cpx_nps4"),
        ({"nvidia.com/gpu.product": A100}, {"nvidia.com/gpu": "8"}, "A100", "nvidia.com/gpu"),
        ({"feature.node.kubernetes.io/nvidia-gpu-model": "H200"}, {}, "H200", "nvidia.com/gpu"),
        ({"nvidia.com/gpu.product": MIG}, {"nvidia.com/gpu": "56"}, "A100-MIG-1g.5gb", "nvidia.com/gpu"),
        ({"nvidia.com/mig.product": MIG}, {}, "A100-MIG-1g.5gb", "nvidia.com/mig-1g.5gb"),
        ({"nvidia.com/mig.product": MIG}, {"nvidia.com/gpu": "56"}, "A100", "nvidia.com/gpu"),
        (
            {"nvidia.com/gpu.product": A100, "nvidia.com/mig-1g.5gb.product": MIG},
            {"nvidia.com/gpu": "0", "nvidia.com/mig-1g.5gb": "7"},
            "A100",
            "nvidia.com/mig-1g.5gb",
        ),
        (
            {"nvidia.com/gpu.product": A100, "nvidia.com/mig-1g.5gb.product": MIG},
            {"nvidia.com/gpu": "4", "nvidia.com/mig-1g.5gb": "7"},
            "A100",
            "nvidia.com/gpu",
        ),
        ({"nvidia.com/gpu.product": A100}, {"nvidia.com/gpu.shared": "4"}, "A100", "nvidia.com/gpu.shared"),
        (
            {"nvidia.com/gpu.product": A100},
            {"nvidia.com/gpu": "0", "nvidia.com/gpu.shared": "4"},
            "A100",
            "nvidia.com/gpu.shared",
        ),
        (
            {"nvidia.com/mig.product": MIG},
            {"nvidia.com/mig-1g.5gb.shared": "14"},
            "A100",
            "nvidia.com/mig-1g.5gb.shared",
        ),
        ({}, {}, "MI300X", "amd.com/gpu"),
        ({}, {}, "Radeon PRO W7900", "amd.com/gpu"),
        ({}, {}, "H100", "nvidia.com/gpu"),
        ({}, {}, "A100-MIG-1g.5gb", "nvidia.com/mig-1g.5gb"),
    ],
)
def test_pods_request_the_resource_that_the_nodes_with_the_model_have(
    labels: dict[str, str], amounts: dict[str, str], model: str, resource: str
) -> None:
    gpus = offered((labels, node(amounts))) if labels else Gpus()
    assert gpus.resource(model) == resource
    if labels:
        assert not gpus.shortfall(model, 1)


def test_a_partition_that_no_node_offers_is_named_with_those_that_nodes_offer() -> None:
    gpus = offered(({"nvidia.com/gpu.product": MIG}, node({"nvidia.com/gpu": "7"})))
    needs = gpus.shortfall("A100-MIG-3g.20gb", 1)
    assert needs == "partition 3g.20gb of GPU A100, which no node offers; nodes offer 1g.5gb"
    whole = offered(amd(8)).shortfall("MI300X-CPX-NPS4", 1)
    assert whole == "partition cpx_nps4 of GPU MI300X, which no node offers; nodes offer whole GPUs"
    assert gpus.shortfall("A100-MIG-1g.5gb", 8) == "8 A100 GPUs, and no node has more than 7"


# ---- node affinity

NODES: list[dict[str, str]] = [
    {DEVICE: "74a1"},
    {"beta.amd.com/gpu.device-id": "74b5"},
    {f"{DEVICE}.74a1": "8"},
    {f"beta.{DEVICE}.74a5": "4"},
    {DEVICE: "74a5"},
    {"amd.com/gpu.family": "MI325X"},
    {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
    {"nvidia.com/gpu.product": A100},
    {"nvidia.com/gpu.product": MIG},
    {"zone": "north"},
]
WANTED = ["MI300X", "MI325X", "A100", "A100-MIG-1g.5gb", "H100"]


def fits(affinity: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether the scheduler places a pod with this affinity on a node with these labels."""

    def holds(item: Mapping[str, Any]) -> bool:
        value = labels.get(item["key"])
        if item["operator"] == "Gt":
            return value is not None and int(value) > int(item["values"][0])
        return value in item["values"]

    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return any(all(map(holds, term["matchExpressions"])) for term in terms)


@given(st.lists(st.sampled_from(NODES), max_size=6), st.sampled_from(WANTED))
def test_pods_are_placed_on_nodes_with_the_model_and_on_no_others(
    there: list[dict[str, str]], wanted: str
) -> None:
    gpus = offered(*((labels, Node()) for labels in there))
    affinity = gpus.node_affinity(wanted)
    if wanted not in {"MI300X", "MI325X"} and gpus.shortfall(wanted, None):
        assert affinity == {}, "nothing is known about nodes with it"
        return
    for labels in there:
        alone = offered((labels, Node()))
        if fits(affinity, labels):
            assert not alone.shortfall(wanted, None)
        elif wanted != "A100":
            assert alone.shortfall(wanted, None)


def test_all_device_ids_of_the_model_are_selected() -> None:
    affinity = offered(amd(8)).node_affinity("MI300X")
    for device, model in AMD_DEVICE_IDS.items():
        assert fits(affinity, {DEVICE: device}) == (model == "MI300X")


@given(
    st.lists(st.sampled_from(NODES), min_size=1, max_size=4), st.sampled_from(NODES), st.sampled_from(WANTED)
)
def test_another_node_does_not_change_the_affinity_of_pods_that_can_run(
    there: list[dict[str, str]], more: dict[str, str], wanted: str
) -> None:
    before = offered(*((labels, Node()) for labels in there))
    current = before.node_affinity(wanted)
    if before.shortfall(wanted, None) or wanted == "A100":
        return
    after = offered(*((labels, Node()) for labels in [*there, more]))
    assert after.node_affinity(wanted, current) == current
    assert Gpus().node_affinity(wanted, current) == current, "a node that restarts does not change it either"


@pytest.mark.parametrize(
    "current",
    [
        None,
        {},
        "text",
        {"requiredDuringSchedulingIgnoredDuringExecution": None},
        {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}},
        {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": []}]}},
        offered(amd(8, device="74a5")).node_affinity("MI325X"),
        offered(({f"beta.{DEVICE}.74a1": "8"}, Node())).node_affinity("MI300X"),
    ],
    ids=["none", "empty", "text", "null", "no-terms", "fields", "other-model", "other-label"],
)
def test_an_affinity_that_does_not_select_the_nodes_is_replaced(current: Any) -> None:
    gpus = offered(amd(8))
    assert gpus.node_affinity("MI300X", current) == gpus.node_affinity("MI300X")


def test_the_models_of_a_change_are_those_whose_offers_differ() -> None:
    one, two = offered(amd(8)), offered(amd(8), amd(8, device="74a5"))
    assert one.changed_models(two) == {"MI325X"}
    assert one.changed_models(offered(amd(4))) == {"MI300X"}
    assert one.changed_models(offered(amd(8, cordoned=True))) == {"MI300X"}
    assert one.changed_models(offered(amd(8), amd(8))) == frozenset()


def test_messages_name_the_models_of_the_cluster() -> None:
    assert offered(amd(8), amd(8, device="74a5")).describe() == "MI300X, MI325X"
    assert Gpus().describe() == "no GPUs"
