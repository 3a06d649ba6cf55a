"""GPU models in node labels and templates are normalised to one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.gpus import AMD_DEVICE_IDS, normalise, recognise, resource_name


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("MI300X", "MI300X"),
        ("mi300x", "MI300X"),
        ("Instinct MI300X", "MI300X"),
        ("AMD_Instinct_MI300X_OAM", "MI300X"),
        ("AMD Instinct MI250X / MI250", "MI250X"),
        ("MI210", "MI210"),
        ("NVIDIA-A100-SXM4-40GB", "A100"),
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "A100"),
        ("A100-PCIE-40GB", "A100"),
        ("NVIDIA-H100-80GB-HBM3", "H100"),
        ("NVIDIA-GH200-480GB", "GH200"),
        ("Tesla-T4", "T4"),
        ("NVIDIA-L40S", "L40S"),
        ("NVIDIA-RTX-A6000", "A6000"),
        ("NVIDIA-GeForce-RTX-4090", "RTX4090"),
        ("Quadro-RTX-8000", "RTX8000"),
        ("Quadro-RTX-6000", "RTX6000"),
        ("NVIDIA-RTX-6000-Ada-Generation", "RTX6000ADA"),
        ("RTX 6000 Ada", "RTX6000ADA"),
        ("NVIDIA-RTX-4000-SFF-Ada-Generation", "RTX4000ADA"),
        ("NVIDIA-GeForce-RTX-4070-Ti-SUPER", "RTX4070TISUPER"),
        ("some future card", "SOME-FUTURE-CARD"),
        ("", ""),
        ("  ", ""),
        ("NVIDIA", "NVIDIA"),
    ],
)
def test_a_product_name_is_reduced_to_its_model(text: str, model: str) -> None:
    assert normalise(text) == model


@given(st.text(max_size=60))
def test_normalising_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("labels", "models"),
    [
        ({"amd.com/gpu.device-id": "74a1"}, {"MI300X"}),
        ({"amd.com/gpu.device-id": "0x74A1"}, {"MI300X"}),
        ({"beta.amd.com/gpu.device-id": "74a5"}, {"MI325X"}),
        ({"amd.com/gpu.device-id.75a3": "8"}, {"MI355X"}),
        ({"beta.amd.com/gpu.device-id.740f": "4"}, {"MI210"}),
        ({"amd.com/gpu.device-id.74a1": "0"}, set()),
        ({"amd.com/gpu.device-id": "ffff"}, set()),
        ({"amd.com/gpu.family": "AI"}, set()),
        ({"amd.com/gpu.family": "MI300X"}, {"MI300X"}),
        ({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}, {"A100"}),
        ({"nvidia.com/mig.product": "A100-SXM4-40GB-MIG-1g.5gb"}, {"A100"}),
        ({"feature.node.kubernetes.io/nvidia-gpu-model": "H200"}, {"H200"}),
        ({"kubernetes.io/hostname": "MI300X"}, set()),
        ({"amd.com/gpu.device-id.74a1": "4", "amd.com/gpu.device-id.74a5": "4"}, {"MI300X", "MI325X"}),
        ({}, set()),
    ],
)
def test_node_labels_give_the_models_that_the_node_offers(labels: dict[str, str], models: set[str]) -> None:
    assert {item.model for item in recognise(labels)} == models


@pytest.mark.parametrize(
    ("model", "ids"),
    [
        ("MI300X", "74a1 74a9 74b5 74bd"),
        ("MI325X", "74a5 74b9"),
        ("MI210", "740f 7410"),
        ("MI250X", "7408 740c"),
        ("MI100", "738c 738e"),
        ("MI300A", "74a0"),
        ("MI308X", "74a2 74a8 74b6"),
        ("MI350X", "75a0 75b0"),
        ("MI355X", "75a3 75b3"),
    ],
)
def test_each_known_device_id_gives_its_model(model: str, ids: str) -> None:
    assert {key for key, value in AMD_DEVICE_IDS.items() if value == model} == set(ids.split())


KEYS = st.sampled_from(
    ["amd.com/gpu.device-id", "amd.com/gpu.device-id.74a1", "nvidia.com/gpu.product", "beta.amd.com/gpu.family", "other/label",
     "feature.node.kubernetes.io/nvidia-gpu-model", "nvidia.com/mig.product", "amd.com/gpu.product-name"]
)  # fmt: skip


@given(st.dictionaries(KEYS, st.text(max_size=20)))
def test_all_labels_give_normalised_models(labels: dict[str, str]) -> None:
    models = {item.model for item in recognise(labels)}
    assert {normalise(model) for model in models} == models
    assert "" not in models


@pytest.mark.parametrize(
    ("model", "name"),
    [("MI300X", "amd.com/gpu"), ("Instinct MI325X", "amd.com/gpu"), ("H100", "nvidia.com/gpu")],
)
def test_pods_request_the_resource_of_the_vendor(model: str, name: str) -> None:
    assert resource_name(model) == name
