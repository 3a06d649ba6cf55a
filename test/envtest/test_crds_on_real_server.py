"""A real API server takes the generated manifests and samples, refuses what the schemas forbid, and keeps slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.domain.plan import WriteStatus
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.decision import decide_template
from support.adminapi import eventually
from support.clusters import crd_manifests
from support.templates import completed, observe, wanted_job

if TYPE_CHECKING:
    from support.adminapi import Api
    from support.kubectl import Kubectl

pytestmark = pytest.mark.envtest

CONFIG = Path(__file__).parents[2] / "config"
GROUP = "/apis/aim.silogen.ai/v1alpha1"


@pytest.fixture
async def installed(api: Api, kubectl: Kubectl) -> None:
    """The CRDs, roles and Deployment; applied again for each test, which changes nothing."""
    kubectl("apply", "-f", "-", stdin=crd_manifests())
    kubectl("apply", "-f", str(CONFIG / "rbac"), "-f", str(CONFIG / "manager"))

    async def served() -> bool:
        status, _ = await api.call("GET", f"{GROUP}/aimclusterservicetemplates")
        found = await api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        ours = [item for item in found["items"] if item["spec"]["group"] == "aim.silogen.ai"]
        conditions = [{c["type"]: c["status"] for c in item["status"]["conditions"]} for item in ours]
        return status == 200 and len(ours) == 9 and all(c.get("Established") == "True" for c in conditions)

    await eventually(served)


@pytest.mark.usefixtures("installed")
async def test_no_definition_is_found_wanting(api: Api) -> None:
    found = await api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    for item in found["items"]:
        if item["spec"]["group"] == "aim.silogen.ai":
            conditions = {c["type"]: c for c in item["status"]["conditions"]}
            assert "NonStructuralSchema" not in conditions, conditions
            assert conditions["NamesAccepted"]["status"] == "True"


@pytest.mark.usefixtures("installed")
def test_the_committed_definitions_are_accepted(kubectl: Kubectl) -> None:
    kubectl("apply", "--dry-run=server", "-f", str(CONFIG / "crd"))


@pytest.mark.usefixtures("installed")
async def test_the_samples_apply_and_are_listed_by_category(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", str(CONFIG / "samples"))
    listed = kubectl("get", "aim", "-n", "ml-batch")
    assert listed.count("aimservicetemplate.aim.silogen.ai/qwen3-32b-") == 30

    async def explained() -> bool:
        return "GPUs per replica" in kubectl.run("explain", "aimst.spec.gpuSelector.count").stdout

    await eventually(explained, within=30)  # the server publishes the schema of a new kind some seconds later


@pytest.mark.usefixtures("installed")
async def test_bad_input_is_refused_with_each_fields_name(kubectl: Kubectl, namespace: str) -> None:
    told = kubectl.fails(
        "apply", "-f", "-",
        stdin=f"""
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {{name: bad, namespace: {namespace}}}
spec:
  modelName: Bad_Name
  metric: speed
  gpuSelector: {{count: 0}}
  modelSources:
  - {{name: a, sourceURI: "ftp://x", size: 1Gi}}
  - {{name: a, sourceURI: "hf://x", size: 1Gi}}
""",
    )  # fmt: skip
    for word in ("spec.modelName", "spec.metric", "spec.gpuSelector.count", "sourceURI", "Duplicate value"):
        assert word in told


@pytest.mark.usefixtures("installed")
async def test_both_parts_of_a_status_are_kept_and_a_second_apply_changes_nothing(
    api: Api, namespace: str
) -> None:
    path = f"{GROUP}/namespaces/{namespace}/aimservicetemplates"
    named = {"apiVersion": "aim.silogen.ai/v1alpha1", "kind": "AIMServiceTemplate", "metadata": {"name": "t"}}
    await api.create(path, named | {"spec": {"modelName": "llama"}})
    job = completed(wanted_job(observe()).key.name)
    (action,) = decide_template(observe(jobs=[job])).of_type(WriteStatus)
    warm = {"type": "CacheWarm", "status": "True", "reason": "Warm", "message": "Warm"}
    warm |= {"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    parts = {
        "aim-templates": action.part,
        "aim-caching": StatusSlice({}, (warm,), frozenset(), frozenset({"CacheWarm"})),
    }

    async def apply(manager: str, status: dict[str, Any]) -> dict[str, Any]:
        return await api.apply(
            f"{path}/t/status?fieldManager={manager}&force=true", named | {"status": status}
        )

    async def apply_both() -> dict[str, Any]:
        results = [await apply(manager, part.status()) for manager, part in parts.items()]
        return results[-1]

    first = await apply_both()
    assert not any(part.changes(first["status"]) for part in parts.values())
    again = await apply_both()
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
