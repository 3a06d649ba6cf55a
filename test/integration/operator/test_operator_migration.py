"""Objects of another operator with the same kinds: their statuses are replaced, and their services come up."""

from __future__ import annotations

import copy

import pytest

from aimctl.api import kinds
from aimctl.api.kinds import KINDS
from aimctl.kubetypes.builtin import CRDS
from aimctl.testing.virtualtime import virtual_time
from support.service_witness import serving

API = "aim.silogen.ai/v1alpha1"


def open_crds():
    """CRDs of the other operator: the same kinds with fields that ours do not have."""
    bodies = [copy.deepcopy(kind.crd()) for kind in KINDS]
    for body in bodies:
        for version in body["spec"]["versions"]:
            properties = version["schema"]["openAPIV3Schema"]["properties"]
            for part in ("spec", "status"):
                if part in properties:
                    properties[part] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return bodies


@pytest.fixture
def complaints(logged_errors):
    """The names of the objects whose reconcile may fail, which the test adds."""
    allowed = set()
    yield allowed
    assert {event["name"] for event in logged_errors} <= allowed
    logged_errors.clear()


OBJECTS = (
    (kinds.MODELS, "m", {"image": "aim-m:1", "discovery": {"enabled": False}}),
    (kinds.TEMPLATES, "discovered", {"modelName": "m", "metric": "latency", "precision": "fp16"}),
    (kinds.TEMPLATES, "cached", {"modelName": "m", "metric": "throughput", "caching": {"enabled": True}}),
    (
        kinds.TEMPLATES,
        "static",
        {
            "modelName": "m",
            "metric": "throughput",
            "modelSources": [{"name": "o/m", "sourceUri": "hf://o/m", "size": "1Gi"}],
        },
    ),
    (kinds.TEMPLATE_CACHES, "discovered", {"templateRef": "discovered"}),
    (
        kinds.SERVICES,
        "svc",
        {
            "model": {"ref": "m"},
            "templateRef": "discovered",
            "replicas": 1,
            "routing": {"enabled": True},
            "template": {"allowUnoptimized": True},
        },
    ),
)
SOURCES = [{"name": "meta", "sourceUri": "hf://meta-llama/Llama-3.1-8B-Instruct", "size": "16Gi"}]
STATUSES = (
    (kinds.MODELS, "m", {"status": "Ready", "imageMetadata": {"model": "llama"}, "conditions": "none"}),
    (kinds.TEMPLATES, "discovered", {"status": "Ready", "modelSources": SOURCES, "profile": "latency"}),
    (kinds.TEMPLATES, "cached", {"status": "Ready", "modelSources": SOURCES}),
    (kinds.TEMPLATES, "static", {"status": "Ready", "modelSources": SOURCES}),
    (
        kinds.TEMPLATE_CACHES,
        "discovered",
        {"status": "Available", "modelCaches": {"meta": {"status": 1}}, "models": {}},
    ),
    (
        kinds.SERVICES,
        "svc",
        {"status": "Running", "resolvedTemplate": "discovered", "routing": {"path": "/x"}},
    ),
)


@virtual_time
async def test_a_status_of_another_operator_counts_as_none_and_is_replaced(complaints):
    complaints.add("static")
    async with serving(crds=open_crds()) as w:
        await w.namespace("mig")
        for resource, name, spec in OBJECTS:
            body = {"apiVersion": API, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}
            await w.client.create(resource, body, "mig")
        for resource, name, status in STATUSES:
            await w.client.patch(resource, name, {"status": status}, "mig", subresource="status")
        for kind in KINDS:
            await w.client.apply(CRDS, kind.crd())
        manager = w.start()

        for name in ("discovered", "cached"):
            await w.until(lambda n=name: "observedGeneration" in w.status(n, "mig"), 60)
            await w.until_state(name, "mig", "Ready")
            sources = w.status(name, "mig")["modelSources"]
            assert [set(source) for source in sources] == [{"name", "source", "sizeBytes"}]
        await w.until(lambda: "resolvedTemplate" in w.service_status("svc", "mig"), 60)
        await w.until_service("svc", "Running", namespace="mig")
        status = w.service_status("svc", "mig")
        assert status["resolvedTemplate"]["name"] == "discovered"
        assert "routing" not in status
        assert manager.running
