"""A real API server takes the generated manifests and samples, refuses what the schemas forbid, and keeps slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.domain.templates.decision import decide_template
from aimctl.domain.templates.discovery_decision import decide_discovery
from support.adminapi import eventually
from support.clusters import crd_manifests
from support.templates import completed, observe

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
async def test_both_slices_of_a_decided_status_are_kept_and_a_second_apply_changes_nothing(
    api: Api, namespace: str
) -> None:
    path = f"{GROUP}/namespaces/{namespace}/aimservicetemplates"
    named = {"apiVersion": "aim.silogen.ai/v1alpha1", "kind": "AIMServiceTemplate", "metadata": {"name": "t"}}
    await api.create(path, named | {"spec": {"modelName": "llama"}})
    wish = decide_discovery(observe()).wish
    assert wish is not None
    discovered = decide_discovery(observe(jobs=[completed(wish.job_name)])).status
    assert discovered is not None
    templated = decide_template(observe(discovered.merged_into({}))).status
    assert templated is not None

    async def apply(manager: str, status: dict[str, Any]) -> dict[str, Any]:
        return await api.apply(
            f"{path}/t/status?fieldManager={manager}&force=true", named | {"status": status}
        )

    await apply("discovery", discovered.status())
    first = await apply("templates", templated.status())
    assert not discovered.changes(first["status"])
    assert not templated.changes(first["status"])
    await apply("discovery", discovered.status())
    again = await apply("templates", templated.status())
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
