"""The operator is installed, configured, run, upgraded and removed with the commands of ``docs/installing.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from aimctl.api.kinds import KINDS
from support.documents import load_yaml
from support.installation import BEFORE_TREE, Shell, commands, predecessor
from support.pod_process import PodProcess, pods_can_be_processes
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster
    from support.installation import Checkout
    from support.kubectl import Kubectl

pytestmark = pytest.mark.skipif(
    not pods_can_be_processes(),
    reason="needs root permissions and util-linux, to run a process as a pod does",
)

NAMESPACE = "kaiwo-system"
DEPLOYMENT = ("deployment", "aimctl-manager", "-n", NAMESPACE)
STOP, KEEP_VOLUMES, _, PLAIN, KUSTOMIZE, _, HELM, DELETE_VOLUMES = commands("Uninstall")


class Way(NamedTuple):
    """A way to install the operator, and how it is removed."""

    install: str
    remove: str


WAYS = {
    "plain": Way(commands("Plain manifests")[0], PLAIN),
    "kustomize": Way(commands("Kustomize")[0], KUSTOMIZE),
    "helm": Way("\n".join(commands("Helm")), HELM),
}

EXAMPLE = """
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMModel
metadata: {name: mistral, namespace: team}
spec: {image: "registry.test/aim-mistral-small-24b:1", discovery: {autoCreateTemplates: false}}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {name: mistral, namespace: team}
spec:
  modelName: mistral
  metric: latency
  precision: fp16
  caching: {enabled: true}
  modelSources: [{name: weights, sourceURI: "hf://example/weights", size: 1Gi}]
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {name: discovered, namespace: team}
spec: {modelName: mistral, metric: throughput, precision: fp8}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMService
metadata: {name: chat, namespace: team}
spec: {model: {ref: mistral}, templateRef: mistral}
"""
EXPECTED = {
    ("AIMServiceTemplate", "team", "mistral"): "Ready",
    ("AIMServiceTemplate", "team", "discovered"): "Ready",
    ("AIMService", "team", "chat"): "Running",
    ("AIMTemplateCache", "team", "mistral"): "Available",
}

StartPod = Callable[..., PodProcess]


@pytest.fixture
def kubectl(cluster: RunningCluster) -> Kubectl:
    return cluster.kubectl


@pytest.fixture
def start_pod(cluster: RunningCluster, shell: Shell, checkout: Checkout) -> Iterator[StartPod]:
    """Starts the manager as the Deployment on the server says; all of them end with the test."""
    started: list[PodProcess] = []

    def start(programs: Path | None = None) -> PodProcess:
        name = f"aimctl-manager-{len(started)}"
        folder = checkout.folder / f"pods-{len(list(checkout.folder.glob('pods-*')))}"
        folder.mkdir()
        pod = PodProcess(
            cluster.kubectl.json("get", *DEPLOYMENT),
            cluster.kubectl,
            programs=programs or shell.programs,
            directory=folder,
            name=name,
        )
        started.append(pod.__enter__())
        pod.wait_ready()
        return pod

    yield start
    for pod in started:
        pod.__exit__()


def configure(shell: Shell, cluster: RunningCluster) -> None:
    """Make the manager read image metadata from the simulated registry, as the document configures it."""
    (block,) = commands("Configuration")
    shell(block.replace("AIM_DISCOVERY_LIMIT=20", f"'AIM_REGISTRY_MIRROR=*={cluster.registry_url}'"))


def states(kubectl: Kubectl) -> dict[tuple[str, str, str], tuple[str, str]]:
    """State and reason of every AIM object by kind, namespace and name."""
    plurals = ",".join(kind.plural for kind in KINDS if "runtimeconfig" not in kind.plural)
    found = {}
    for item in kubectl.json("get", plurals, "-A")["items"]:
        status = item.get("status", {})
        reasons = [one["reason"] for one in status.get("conditions", ()) if one["type"] == "Ready"]
        key = (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
        found[key] = (status.get("status", ""), *reasons)
    return found


def run_the_example(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=EXAMPLE)

    def missing() -> dict[Any, Any]:
        found = states(kubectl)
        return {key: found.get(key) for key, state in EXPECTED.items() if found.get(key, ("",))[0] != state}

    eventually(lambda: not missing(), 60, "the example runs", otherwise=missing)


def run_the_samples(shell: Shell, kubectl: Kubectl) -> None:
    """Apply the samples as the document says, and wait until all have the states that they list."""
    shell("kubectl apply --server-side -f config/samples")
    config = kubectl.json("get", "configmap", "expected-states", "-n", "ml-team")
    expected = {key: tuple(text.split()) for key, text in config["data"].items()}

    def missing() -> dict[str, Any]:
        found = {".".join(filter(None, key)): state for key, state in states(kubectl).items()}
        return {key: found.get(key) for key, state in expected.items() if found.get(key) != state}

    eventually(lambda: not missing(), 120, "all samples are in their states", otherwise=missing)


def claims(kubectl: Kubectl) -> set[str]:
    return {item["metadata"]["name"] for item in kubectl.json("get", "pvc", "-A")["items"]}


def left_over(kubectl: Kubectl) -> list[str]:
    """Objects of the operator other than what it keeps on purpose."""
    kinds = "crd,clusterrole,clusterrolebinding,priorityclass,networkpolicy,poddisruptionbudget,deployment,service"
    found = kubectl("get", f"{kinds},role,rolebinding,serviceaccount,lease", "-A", "-o", "name").split()
    namespaces = kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name").split()
    return [name for name in found if "aimctl" in name or "aim.silogen.ai" in name] + namespaces


@pytest.mark.parametrize("way", WAYS)
def test_the_operator_is_installed_run_and_removed(
    way: str, cluster: RunningCluster, shell: Shell, kubectl: Kubectl, start_pod: StartPod
) -> None:
    for _ in ("the first time", "once more"):
        shell(WAYS[way].install)
    cluster.learn_kinds()
    deployment = kubectl.json("get", *DEPLOYMENT)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/aimctl:0.1.0"
    namespace = kubectl.json("get", "namespace", NAMESPACE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert_admitted(kubectl, deployment)

    configure(shell, cluster)
    manager = start_pod()
    run_the_example(kubectl)
    if way == "plain":
        run_the_samples(shell, kubectl)
    kept = claims(kubectl)
    assert "Traceback" not in manager.log

    shell(STOP)
    assert manager.terminate() == 0
    shell(KEEP_VOLUMES)
    shell(WAYS[way].remove)
    assert left_over(kubectl) == []
    assert kept
    assert claims(kubectl) == kept
    eventually(lambda: not kubectl.json("get", "isvc", "-A")["items"], 60, "the model servers are deleted")
    shell(DELETE_VOLUMES)
    assert claims(kubectl) == set()
    namespaces = {"team", *(("ml-team", "ml-research", "ml-batch") if way == "plain" else ())}
    kubectl("delete", "namespace", "--ignore-not-found", *sorted(namespaces), timeout=120)


def assert_admitted(kubectl: Kubectl, deployment: dict[str, Any]) -> None:
    """The API server admits a pod of the Deployment: Pod Security, priority class, service account."""
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {**template["metadata"], "name": "admitted", "namespace": NAMESPACE}
    done = kubectl.run("create", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=yaml.safe_dump(pod))
    assert (done.returncode, done.stderr) == (0, "")
    assert load_yaml(done.stdout)["spec"]["priority"] == 1_000_000


@pytest.mark.skipif(
    not predecessor(), reason=f"the history has neither a tag nor {BEFORE_TREE}: fetch it to test the upgrade"
)
def test_an_upgrade_and_the_change_to_helm_keep_everything(
    cluster: RunningCluster, checkout: Checkout, shell: Shell, kubectl: Kubectl, start_pod: StartPod
) -> None:
    current, older = shell.programs, checkout.older(predecessor())
    shell.programs = older
    shell(WAYS["plain"].install)
    cluster.learn_kinds()
    configure(shell, cluster)
    old = start_pod(older)
    run_the_example(kubectl)
    before, jobs, volumes = states(kubectl), job_ids(kubectl), claims(kubectl)

    shell.programs = current
    shell(WAYS["plain"].install)
    new = start_pod()  # as a rolling update does: the standby is ready before the leader ends
    assert old.terminate() == 0
    eventually(lambda: leader(kubectl).startswith(new.name), 30, "the new manager leads")
    kubectl("delete", "aimsvc", "chat", "-n", "team")
    run_the_example(kubectl)
    assert states(kubectl) == before
    assert job_ids(kubectl) == jobs
    assert claims(kubectl) == volumes
    variables = kubectl.json("get", *DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {one["name"] for one in variables} == {"AIM_OPERATOR_NAMESPACE", "AIM_REGISTRY_MIRROR"}

    uid = kubectl.json("get", *DEPLOYMENT)["metadata"]["uid"]
    take_over = commands("Upgrade")[0]
    shell(take_over)
    shell(f"{take_over} --set discoveryLimit=3")
    taken = kubectl.json("get", *DEPLOYMENT)
    assert taken["metadata"]["uid"] == uid
    assert "--discovery-limit=3" in taken["spec"]["template"]["spec"]["containers"][0]["args"]
    assert states(kubectl) == before

    shell(STOP)
    assert new.terminate() == 0
    shell(HELM)
    assert left_over(kubectl) == []
    eventually(lambda: not claims(kubectl), 60, "the volumes are deleted with the CRDs")
    kubectl("delete", "namespace", "team", timeout=120)


def job_ids(kubectl: Kubectl) -> set[str]:
    """Each Job as ``name uid``."""
    items = kubectl.json("get", "jobs", "-A")["items"]
    return {f"{item['metadata']['name']} {item['metadata']['uid']}" for item in items}


def leader(kubectl: Kubectl) -> str:
    lease = kubectl.json("get", "lease", "aimctl-manager", "-n", NAMESPACE)
    return str(lease["spec"].get("holderIdentity") or "")
