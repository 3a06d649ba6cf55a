"""Compares types for the views of built-in kinds: time and memory of decoding a Pod, a Job and a Node.

    python test/bench/kind_types.py

Each contender runs in a process of its own. `lightkube` needs the packages lightkube and lightkube-models.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENDERS = ("narrow", "full", "dicts", "lightkube", "kubernetes-asyncio")
REPEATS, OBJECTS = 5, 100


def container(name: str) -> dict[str, Any]:
    """A container as servers return it, with defaults."""
    probe = {"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
    return {
        "name": name,
        "image": f"registry.example.org/team/{name}:1.2.3",
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config=/config/config.yaml", "--log-level=info"],
        "env": [{"name": f"VARIABLE_{number}", "value": f"value-{number}"} for number in range(8)]
        + [{"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
        "ports": [
            {"containerPort": port, "name": f"port-{port}", "protocol": "TCP"} for port in (8080, 9090)
        ],
        "resources": {
            "limits": {"cpu": "2", "memory": "4Gi"},
            "requests": {"cpu": "500m", "memory": "1Gi"},
        },
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "port-8080", "scheme": "HTTP"}, **probe},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080, "scheme": "HTTP"}, **probe},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"mountPath": f"/{name}", "name": name, "readOnly": True} for name in ("a", "b")],
    }


def container_status(name: str) -> dict[str, Any]:
    """The status of a running container."""
    return {
        "containerID": "containerd://" + "a" * 64,
        "image": f"registry.example.org/team/{name}:1.2.3",
        "imageID": "registry.example.org/team/x@sha256:" + "b" * 64,
        "lastState": {},
        "name": name,
        "ready": True,
        "restartCount": 0,
        "started": True,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }


def conditions(*types: str) -> list[dict[str, Any]]:
    """Conditions with these types."""
    return [
        {"type": type_, "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for type_ in types
    ]


def bodies() -> dict[str, dict[str, Any]]:
    """A Pod, a Job and a Node."""
    metadata = {
        "name": "web-7d9f8-abcde",
        "namespace": "default",
        "uid": "0c0c0c0c-0000-4000-8000-000000000000",
        "resourceVersion": "123456",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": "web", "pod-template-hash": "7d9f8"},
        "annotations": {"checksum/config": "c" * 64},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u"}],
    }
    spec = {
        "containers": [container("web"), container("proxy")],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {"runAsNonRoot": True, "fsGroup": 1000},
        "serviceAccountName": "web",
        "terminationGracePeriodSeconds": 30,
        "tolerations": [
            {"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ],
        "volumes": [
            {"name": "a", "configMap": {"name": "web", "defaultMode": 420}},
            {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ],
    }
    capacity = {"cpu": "64", "memory": "527943040Ki", "pods": "110", "example.com/gpu": "8"}
    return {
        "Pod": {
            "metadata": metadata,
            "spec": {**spec, "nodeName": "node-1"},
            "status": {
                "phase": "Running",
                "podIP": "10.1.0.1",
                "podIPs": [{"ip": "10.1.0.1"}],
                "conditions": conditions("Initialized", "Ready", "ContainersReady", "PodScheduled"),
                "containerStatuses": [container_status("web"), container_status("proxy")],
            },
        },
        "Job": {
            "metadata": metadata,
            "spec": {"parallelism": 1, "completions": 1, "template": {"metadata": {}, "spec": spec}},
            "status": {"succeeded": 1, "conditions": conditions("Complete")},
        },
        "Node": {
            "metadata": {**metadata, "labels": {f"feature.example.org/{n}": "true" for n in range(60)}},
            "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]},
            "status": {
                "capacity": capacity,
                "allocatable": capacity,
                "conditions": conditions("MemoryPressure", "DiskPressure", "PIDPressure", "Ready"),
                "images": [
                    {"names": [f"registry.example.org/{n}@sha256:" + "d" * 64], "sizeBytes": 123456789}
                    for n in range(40)
                ],
            },
        },
    }


def decoders(contender: str) -> dict[str, Callable[[bytes], Any]]:
    """The decoders of a contender by kind."""
    import msgspec

    if contender == "dicts":
        return dict.fromkeys(("Pod", "Job", "Node"), msgspec.json.decode)
    if contender == "lightkube":
        from lightkube.models import batch_v1, core_v1

        types = {"Pod": core_v1.Pod, "Job": batch_v1.Job, "Node": core_v1.Node}
        return {kind: msgspec.json.Decoder(one).decode for kind, one in types.items()}
    if contender == "kubernetes-asyncio":
        from kubernetes_asyncio.client import ApiClient, Configuration

        api = object.__new__(ApiClient)  # its constructor opens a session, which needs an event loop
        api.configuration = Configuration()
        parse = api._ApiClient__deserialize
        return {
            kind: lambda raw, kind=kind: parse(json.loads(raw), f"V1{kind}")
            for kind in ("Pod", "Job", "Node")
        }
    from aimctl.kubetypes import builtin, kinds

    source = builtin if contender == "narrow" else kinds
    return {"Pod": source.PODS.decode, "Job": source.JOBS.decode, "Node": source.NODES.decode}


def measure(contender: str) -> None:
    """Print a row of the table."""
    raws = {kind: json.dumps(body, separators=(",", ":")).encode() for kind, body in bodies().items()}
    started = time.process_time()
    decode = decoders(contender)
    for kind, raw in raws.items():
        decode[kind](raw)
    first = (time.process_time() - started) * 1000
    cells = [contender, f"{first:.0f}"]
    for kind, raw in raws.items():
        count = 100 if contender == "kubernetes-asyncio" else 5000
        times = []
        for _ in range(REPEATS):
            started = time.process_time()
            for _ in range(count):
                decode[kind](raw)
            times.append((time.process_time() - started) / count * 1e6)
        tracemalloc.start()
        kept = [decode[kind](raw) for _ in range(OBJECTS)]
        size = tracemalloc.get_traced_memory()[0] / len(kept) / 1000
        tracemalloc.stop()
        cells += [f"{min(times):.1f}", f"{size:.1f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure one contender, or all."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    sizes = ", ".join(f"{kind} {len(json.dumps(body)) / 1000:.1f} KB" for kind, body in bodies().items())
    print(f"Bodies: {sizes}\n\n| types | first ms | Pod us | KB | Job us | KB | Node us | KB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for contender in CONTENDERS:
        if subprocess.run([sys.executable, __file__, contender], check=False).returncode:
            print(f"| {contender} | not installed | | | | | | |")


if __name__ == "__main__":
    main()
