"""The resources of the container that serves: what users set, defaults for GPUs, and a request within its limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import ResourceRequirements
from aimctl.domain.services.kserve.resources import container_resources
from aimctl.kubetypes.quantity import parse_quantity

GPU = "amd.com/gpu"


def resources(*layers: dict[str, Any] | None, gpus: int = 0) -> dict[str, Any]:
    """The resources for what model, template and service set."""
    given_layers = [None if layer is None else ResourceRequirements.model_validate(layer) for layer in layers]
    return container_resources(given_layers, GPU, gpus)


def both(**amounts: str) -> dict[str, Any]:
    return {"requests": amounts, "limits": amounts}


def test_a_gpu_service_has_cpu_and_memory_for_each_gpu() -> None:
    assert resources(gpus=1) == {
        "requests": {"cpu": "4", "memory": "32Gi", GPU: "1"},
        "limits": {"cpu": "8", "memory": "48Gi", GPU: "1"},
    }
    assert resources(None, gpus=8) == {
        "requests": {"cpu": "32", "memory": "256Gi", GPU: "8"},
        "limits": {"cpu": "64", "memory": "384Gi", GPU: "8"},
    }


def test_without_a_gpu_nothing_is_set_that_users_do_not_set() -> None:
    assert resources(None, {}) == {}
    assert resources(both(cpu="2")) == both(cpu="2")


@pytest.mark.parametrize(
    ("set_by_user", "memory"),
    [
        ({"requests": {"memory": "16Gi"}}, ("16Gi", "48Gi")),
        ({"requests": {"memory": "64Gi"}}, ("64Gi", "64Gi")),
        ({"limits": {"memory": "64Gi"}}, ("32Gi", "64Gi")),
        ({"limits": {"memory": "24Gi"}}, ("24Gi", "24Gi")),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}, ("1Gi", "2Gi")),
    ],
    ids=["small request", "large request", "large limit", "small limit", "both"],
)
def test_what_the_user_sets_is_kept_and_the_missing_value_is_consistent_with_it(
    set_by_user: dict[str, Any], memory: tuple[str, str]
) -> None:
    got = resources(set_by_user, gpus=1)
    assert (got["requests"]["memory"], got["limits"]["memory"]) == memory
    assert (got["requests"]["cpu"], got["limits"]["cpu"]) == ("4", "8")


@pytest.mark.parametrize("kind", ["requests", "limits"])
def test_without_a_gpu_a_missing_request_or_limit_is_the_other_one(kind: str) -> None:
    """Otherwise KServe adds 2Gi, and the API server rejects a request of 4Gi, or a limit of 1Gi."""
    assert resources({kind: {"memory": "4Gi", "ephemeral-storage": "1Gi"}}) == {
        **both(memory="4Gi"),
        kind: {"memory": "4Gi", "ephemeral-storage": "1Gi"},
    }


def test_the_more_specific_object_is_obeyed_and_the_other_value_is_adapted() -> None:
    model = {"requests": {"memory": "64Gi", "cpu": "8"}, "limits": {"memory": "96Gi", "cpu": "16"}}
    lower = resources(model, None, {"limits": {"memory": "48Gi"}})
    assert lower == {"requests": {"memory": "48Gi", "cpu": "8"}, "limits": {"memory": "48Gi", "cpu": "16"}}
    higher = resources(model, {"requests": {"memory": "128Gi"}}, None)
    assert higher == {"requests": {"memory": "128Gi", "cpu": "8"}, "limits": {"memory": "128Gi", "cpu": "16"}}
    assert resources(model, {"requests": {"memory": "70Gi"}})["limits"]["memory"] == "96Gi"


def test_a_request_and_a_limit_of_one_object_are_kept_as_they_are() -> None:
    wrong = {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}
    assert resources(wrong, gpus=1)["limits"]["memory"] == "1Gi"
    assert resources(wrong, gpus=1)["requests"]["memory"] == "2Gi"


def test_the_number_of_gpus_is_that_of_the_profile() -> None:
    got = resources({"limits": {GPU: "1"}}, {"requests": {GPU: "16"}}, gpus=4)
    assert got["limits"][GPU] == got["requests"][GPU] == "4"


AMOUNT = st.sampled_from(["0", "1m", "500m", "1", "4", "1e3", "512Mi", "2Gi", "2G", "64Gi", "1Ti", "x", ""])
AMOUNTS = st.dictionaries(st.sampled_from(["cpu", "memory", GPU, "rdma/hca"]), AMOUNT)
LAYER = st.none() | st.fixed_dictionaries({}, optional={"requests": AMOUNTS, "limits": AMOUNTS})


def value(text: str) -> Any:
    try:
        return parse_quantity(text).value
    except ValueError:
        return None


@example([{"requests": {"memory": "64Gi"}}, {"limits": {"memory": "512Mi"}}], 0)
@given(st.lists(LAYER, max_size=4), st.sampled_from([0, 1, 8]))
def test_no_request_exceeds_its_limit_and_kserve_has_nothing_to_add(layers: list[Any], gpus: int) -> None:
    got = resources(*layers, gpus=gpus)
    requests, limits = got.get("requests", {}), got.get("limits", {})
    for name in ("cpu", "memory"):
        assert (name in requests) == (name in limits)
        if gpus:
            assert name in requests
    by_one = {
        name
        for layer in layers
        if layer
        for name in layer.get("requests", {}).keys() & layer.get("limits", {}).keys()
    }
    for name in (requests.keys() & limits.keys()) - by_one:
        request, limit = value(requests[name]), value(limits[name])
        assert request is None or limit is None or request <= limit
    last = next((layer for layer in reversed(layers) if layer), {})
    for kind, amounts in last.items():
        for name, amount in amounts.items():
            assert got[kind][name] == (str(gpus) if gpus and name == GPU else amount)
