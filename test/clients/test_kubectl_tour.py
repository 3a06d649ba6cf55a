"""A tour of kubectl on the embedded and on a real API server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clients.programs.widgets import widget_definition
from support.kubectl import Kubectl
from support.tours import Step, check_tour, stable

if TYPE_CHECKING:
    from support.clusters import RunningCluster

IMAGE = "registry.test/aim-quick:1"
GROUP = "kubectl.tours.example.com"
_EXPLAIN = "the embedded server has no descriptions of fields"
DIFFERENCES = {
    "kubectl apply -f - (a number as a value)": "the status is 400 with a reason; the real server names no kind",
    "kubectl explain configmap.data": _EXPLAIN,
    "kubectl explain deployment.spec.strategy.rollingUpdate --api-version=apps/v1": _EXPLAIN,
    "kubectl apply -f - (a wrong type in a definition)": "the message is that of a schema, not that of Go's decoder",
}


class Tour:
    """Runs kubectl in one namespace and notes what it prints."""

    def __init__(self, cluster: RunningCluster, namespace: str) -> None:
        # The program of the test requirements: the one on the PATH may be of any version.
        program = Path(sys.executable).parent / "kubectl"
        self.kubectl = Kubectl(cluster.kubeconfig, cluster.kubeconfig.parent / "tour-cache", str(program))
        self.namespace = namespace
        self.steps: list[Step] = []

    def __call__(self, *args: str, stdin: str | None = None, quiet: bool = False, what: str = "") -> str:
        """Run a command. With ``quiet``, only its exit code is noted."""
        done = self.kubectl.run("-n", self.namespace, *args, stdin=stdin, timeout=90)
        shown = {"code": done.returncode}
        if not quiet:
            shown |= {"out": stable(done.stdout), "error": stable(done.stderr)}
        name = f"kubectl {stable(' '.join(args))}" + f" ({what})" * bool(what)
        self.steps.append([name, {key: shown[key] for key in shown if shown[key] != ""}])
        return done.stdout


@pytest.fixture
def tour(cluster: RunningCluster, namespace: str) -> Tour:
    return Tour(cluster, namespace)


def config_map(name: str = "a", **data: Any) -> str:
    metadata = {"name": name, "labels": {"tour": "kubectl"}}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def pod(name: str, image: str = IMAGE) -> str:
    container = {
        "name": "main",
        "image": image,
        "args": ["dry-run"],
        "resources": {"limits": {"cpu": "1", "memory": "64Mi"}},
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def applying(tour: Tour) -> None:
    tour("apply", "-f", "-", stdin=config_map(x="1", y="2"))
    tour("apply", "-f", "-", stdin=config_map(x="1", y="2"))
    tour("diff", "-f", "-", stdin=config_map(x="1", y="2"))
    tour("apply", "-f", "-", stdin=config_map(x="3"))
    tour("get", "configmap", "a", "-o", "jsonpath={.data}")
    tour("apply", "-f", "-", "--dry-run=server", stdin=config_map(x="9"))
    tour("apply", "-f", "-", stdin=config_map(x=1), what="a number as a value")
    tour("apply", "-f", "-", stdin=config_map().replace('"data"', '"dta"'), what="an unknown field")
    tour("apply", "-f", "-", "--validate=warn", stdin=config_map("warned").replace('"data"', '"dta"'))
    tour("apply", "view-last-applied", "cm/a", "-o", "json")
    tour("apply", "--server-side", "-f", "-", stdin=config_map("s", x="1"))
    tour("apply", "--server-side", "-f", "-", "--field-manager=other", stdin=config_map("s", x="2"))
    tour(
        "apply",
        "--server-side",
        "-f",
        "-",
        "--field-manager=other",
        "--force-conflicts",
        stdin=config_map("s", x="2"),
    )
    both = f"{config_map('p1')}\n{config_map('p2')}"
    tour("apply", "-l", "tour=kubectl", "-f", "-", stdin=both)
    prune = ("apply", "--prune", "-l", "tour=kubectl", "--prune-allowlist=core/v1/ConfigMap", "-f", "-")
    tour(*prune, stdin=config_map("p1"))
    tour("create", "-f", "-", stdin=config_map("p1"))
    tour("replace", "-f", "-", stdin=config_map("p1", z="1"))
    tour("replace", "--force", "-f", "-", stdin=config_map("p1", z="2"))
    tour("apply", "edit-last-applied", "cm/none")


def reading(tour: Tour) -> None:
    tour("create", "configmap", "read", "--from-literal=k=v", "--from-literal=l=w")
    for form in (
        "wide",
        "name",
        "jsonpath={.data.k}",
        "go-template={{.data.l}}",
        "custom-columns=N:.metadata.name",
    ):
        tour("get", "cm", "read", "-o", form)
    tour("get", "cm", "read", "--show-labels", "--no-headers")
    tour("get", "cm", "none")
    tour("get", "cm,secrets", "-o", "name")
    tour("get", "nonsense")
    tour("get", "cm", "--sort-by={.metadata.name}", "--chunk-size=1", "-o", "name")
    tour("get", "cm", "--field-selector=metadata.name=read", "-o", "name")
    tour("get", "cm", "-l", "tour in (kubectl)", "-o", "name")
    tour("get", "cm", "-l", "a=b,,")
    tour("describe", "cm", "read")
    tour("explain", "configmap.data")
    tour("explain", "deployment.spec.strategy.rollingUpdate", "--api-version=apps/v1")
    tour("explain", "pod.nonsense")
    tour("get", "--raw", "/api/v1/namespaces/kube-system?resourceVersion=0", quiet=True)
    tour("get", "--raw", "/healthz")
    tour("get", "--raw", "/nothing")
    tour("api-resources", "--api-group=apps", "-o", "wide")
    tour("api-resources", "--api-group=batch", "--namespaced=true", "-o", "name")


def changing(tour: Tour) -> None:
    tour("create", "configmap", "c", "--from-literal=a=1")
    tour("label", "cm", "c", "x=y")
    tour("label", "cm", "c", "x=z")
    tour("label", "cm", "c", "x=z", "--overwrite")
    tour("label", "cm", "c", "x-")
    tour("label", "cm", "c", "x=not a label")
    tour("annotate", "cm", "c", "why=tour")
    tour("patch", "cm", "c", "-p", '{"data":{"b":"2"}}')
    tour("patch", "cm", "c", "--type=merge", "-p", '{"data":{"a":null}}')
    tour("patch", "cm", "c", "--type=json", "-p", '[{"op":"replace","path":"/data/new","value":"4"}]')
    tour("patch", "cm", "c", "--type=json", "-p", '[{"op":"remove","path":"/data/none"}]')
    tour("patch", "cm", "c", "-p", "{")
    tour("patch", "cm", "c", "-p", '{"metadata":{"uid":"x"}}')
    tour("get", "cm", "c", "-o", "jsonpath={.data}")
    tour("create", "secret", "generic", "s", "--from-literal=p=q")
    tour("get", "secret", "s")
    tour("create", "serviceaccount", "sa")
    tour("create", "token", "sa", quiet=True)
    tour("create", "quota", "q", "--hard=pods=10")
    tour("create", "role", "r", "--verb=get,list", "--resource=pods,deployments.apps")
    tour("create", "rolebinding", "rb", "--role=r", "--serviceaccount=default:sa")
    tour("describe", "role", "r")
    tour("create", "service", "clusterip", "svc", "--tcp=80:8080")
    tour("create", "ingress", "ing", "--rule=example.com/path*=svc:80")
    tour("create", "poddisruptionbudget", "pdb", "--selector=a=b", "--min-available=1")
    tour("create", "cronjob", "cron", f"--image={IMAGE}", "--schedule=0 0 1 1 *", "--", "dry-run")
    tour("create", "cronjob", "bad", f"--image={IMAGE}", "--schedule=nonsense")
    tour("get", "cronjob,ingress,pdb,quota,role,rolebinding,sa", "-o", "name")
    tour("auth", "can-i", "create", "pods")
    tour("auth", "can-i", "get", "pods", "--subresource=log")
    tour("expose", "cm", "c", "--port=80")


def workloads(tour: Tour) -> None:
    tour("create", "deployment", "web", f"--image={IMAGE}", "--replicas=0", "--port=80")
    tour("scale", "deployment", "web", "--replicas=0", "--current-replicas=3")
    tour("set", "image", "deployment/web", f"aim-quick={IMAGE}2")
    tour("set", "env", "deployment/web", "A=b")
    tour("set", "env", "deployment/web", "--list")
    tour("set", "resources", "deployment/web", "--limits=cpu=1,memory=1Gi")
    tour("rollout", "pause", "deployment/web")
    tour("rollout", "pause", "deployment/web")
    tour("rollout", "resume", "deployment/web")
    tour("autoscale", "deployment", "web", "--max=3")
    tour("expose", "deployment", "web", "--port=80", "--target-port=8080")
    tour("get", "service", "web", "-o", "jsonpath={.spec.selector} {.spec.ports}")
    tour("patch", "deployment", "web", "-p", '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}')
    tour("patch", "deployment", "web", "-p", '{"spec":{"replicas":-1}}')
    container = '{"name":"side","image":"registry.test/side:1"}'
    tour(
        "patch",
        "deployment",
        "web",
        "-p",
        f'{{"spec":{{"template":{{"spec":{{"containers":[{container}]}}}}}}}}',
    )
    tour("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[*].name}")
    tour("delete", "deployment/web", "hpa/web", "service/web")
    tour("create", "job", "job", f"--image={IMAGE}", "--", "dry-run")
    tour("wait", "--for=condition=complete", "job/job", "--timeout=60s")
    tour("logs", "job/job", quiet=True)
    tour("get", "job", "job", "-o", "jsonpath={.status.succeeded} {.status.conditions[*].type}")
    tour("create", "job", "manual", "--from=cronjob/cron")
    tour("wait", "--for=condition=complete", "job/manual", "--timeout=60s")
    tour("delete", "job", "job", "manual", "--cascade=foreground")
    tour("get", "pods", "-o", "name")


def rollouts(tour: Tour) -> None:
    tour("create", "deployment", "rolled", f"--image={IMAGE}", "--replicas=2")
    tour("rollout", "status", "deployment/rolled", "--timeout=60s", quiet=True)
    tour("wait", "--for=condition=Available", "deployment/rolled", "--timeout=60s")
    tour("get", "deployment", "rolled")
    tour("set", "image", "deployment/rolled", "aim-quick=registry.test/aim-quick:2")
    tour("rollout", "status", "deployment/rolled", "--timeout=60s", quiet=True)
    tour("rollout", "history", "deployment/rolled")
    tour("rollout", "undo", "deployment/rolled")
    tour("rollout", "status", "deployment/rolled", "--timeout=60s", quiet=True)
    tour("get", "deployment", "rolled", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    tour("scale", "deployment/rolled", "--replicas=1")
    tour("wait", "--for=jsonpath={.status.replicas}=1", "deployment/rolled", "--timeout=60s")
    tour("rollout", "restart", "deployment/rolled")
    tour("rollout", "status", "deployment/rolled", "--timeout=60s", quiet=True)
    tour("delete", "deployment", "rolled", "--cascade=foreground", "--timeout=60s")
    tour("get", "replicasets,pods", "-l", "app=rolled", "-o", "name")


def pods(tour: Tour) -> None:
    tour("apply", "-f", "-", stdin=pod("worker"))
    tour("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/worker", "--timeout=60s")
    tour("get", "pod", "worker")
    tour("logs", "worker", "--tail=1", quiet=True)
    tour("logs", "worker", "-c", "none")
    tour("logs", "none")
    tour("get", "pod", "worker", "-o", "jsonpath={.status.qosClass} {.spec.terminationGracePeriodSeconds}")
    tour("apply", "-f", "-", stdin=pod("worker").replace('"cpu": "1"', '"cpu": "2"'))
    tour("delete", "pod", "worker", "--now")
    tour("apply", "-f", "-", stdin=pod("broken", "registry.test/aim-broken:1"))
    waiting = "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff"
    tour("wait", waiting, "pod/broken", "--timeout=60s")
    tour("get", "pod", "broken")
    tour("delete", "pod", "broken", "--grace-period=0", "--force")
    tour("run", "run", f"--image={IMAGE}", "--restart=Never", "--env=A=b", "--labels=a=b", "--", "dry-run")
    tour("wait", "--for=condition=PodScheduled", "pod/run", "--timeout=60s")
    tour("get", "pods", "-l", "a=b", "--watch-only=false", "-o", "name")
    tour("top", "pod")
    tour("apply", "-f", "-", stdin=pod("invalid").replace("Never", "Sometimes"))
    tour("delete", "pods", "--all", "--wait=true")
    tour("delete", "pod", "worker", "--ignore-not-found")
    tour("wait", "--for=delete", "pod/run", "--timeout=60s")


def nodes(tour: Tour) -> None:
    tour("create", "-f", "-", stdin='{"apiVersion":"v1","kind":"Node","metadata":{"name":"kubectl-tour"}}')
    tour("cordon", "kubectl-tour")
    tour("cordon", "kubectl-tour")
    tour("uncordon", "kubectl-tour")
    tour("taint", "node", "kubectl-tour", "a=b:NoSchedule")
    tour("taint", "node", "kubectl-tour", "a=c:NoSchedule")
    tour("taint", "node", "kubectl-tour", "a-")
    tour("drain", "kubectl-tour", "--ignore-daemonsets")
    tour("get", "node", "kubectl-tour", "--no-headers")
    tour("delete", "node", "kubectl-tour")


def custom_kinds(tour: Tour) -> None:
    tour("apply", "-f", "-", stdin=json.dumps(widget_definition(GROUP)))
    tour("wait", "--for=condition=Established", f"crd/widgets.{GROUP}", "--timeout=30s")
    tour("get", "crd", f"widgets.{GROUP}", "-o", "jsonpath={.status.acceptedNames}")

    def widget(size: str, **spec: Any) -> str:
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "w"}}
        return json.dumps({**body, "spec": {"size": size, **spec}})

    kind = f"widgets.{GROUP}"
    tour("apply", "-f", "-", stdin=widget("small"))
    tour("apply", "-f", "-", stdin=widget("huge"))
    tour("apply", "-f", "-", stdin=widget("small", colour="red"), what="an unknown field of a Widget")
    tour("patch", kind, "w", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Ready"}}')
    tour("patch", kind, "w", "-p", '{"spec":{"size":"large"}}')
    tour("wait", "--for=jsonpath={.status.phase}=Ready", f"{kind}/w", "--timeout=10s")
    tour("scale", kind, "w", "--replicas=3")
    tour("get", kind, "w", "--no-headers")
    tour("get", kind, "w", "-o", "jsonpath={.spec} {.metadata.generation}")
    tour("explain", "widget.spec", f"--api-version={GROUP}/v1")
    tour("describe", kind, "w", quiet=True)
    tour("delete", kind, "--all")
    tour("delete", "crd", kind)
    tour(
        "apply",
        "-f",
        "-",
        stdin=json.dumps(widget_definition(GROUP)).replace('"enum": ["small", "large"]', '"enum": 3'),
        what="a wrong type in a definition",
    )


def watching(tour: Tour) -> None:
    base = tour.kubectl._base
    command = (
        *base,
        "get",
        "cm",
        "-n",
        tour.namespace,
        "-w",
        "--no-headers",
        "-l",
        "watch=me",
        "--output-watch-events",
    )
    with subprocess.Popen([*command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            tour("create", "configmap", "watched")
            lines: list[str] = []
            for change in ("watch=me", "watch=you"):
                tour("label", "cm", "watched", change, "--overwrite")
                lines.append(stable(process.stdout.readline()))
            tour.steps.append(["kubectl get -w", lines])
        finally:
            process.terminate()


def kustomized(tour: Tour, folder: Path) -> None:
    (folder / "kustomization.yaml").write_text(
        "resources: [base.yaml]\nnamePrefix: kust-\nlabels: [{pairs: {by: kustomize}}]\n"
        "configMapGenerator: [{name: made, literals: [a=b]}]\n"
    )
    (folder / "base.yaml").write_text(config_map("base", x="1"))
    tour("apply", "-k", str(folder))
    tour("get", "cm", "-l", "by=kustomize", "-o", "name")
    tour("delete", "-k", str(folder))


def edited(tour: Tour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBE_EDITOR", "sed -i s/first/second/")
    tour("create", "configmap", "edited", "--from-literal=a=first")
    tour("edit", "configmap", "edited")
    tour("get", "configmap", "edited", "-o", "jsonpath={.data.a}")


def test_the_client_prints_the_recorded_steps(
    cluster: RunningCluster, tour: Tour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    applying(tour)
    reading(tour)
    changing(tour)
    workloads(tour)
    rollouts(tour)
    pods(tour)
    nodes(tour)
    custom_kinds(tour)
    watching(tour)
    kustomized(tour, tmp_path)
    edited(tour, monkeypatch)
    check_tour("kubectl", cluster, tour.steps, DIFFERENCES)
