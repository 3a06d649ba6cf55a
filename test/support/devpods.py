"""Bodies of objects for tests of the embedded cluster."""

from __future__ import annotations

from typing import Any

__all__ = ["claim_body", "download_body", "job_body", "pod_body", "pull_secret_body", "secret_body"]


def job_body(
    name: str = "job",
    *,
    namespace: str = "default",
    image: str = "busybox",
    args: tuple[str, ...] = (),
    restart_policy: str = "Never",
    pod: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Job whose pod passes the ``restricted`` Pod Security Standard."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "template": {
                "spec": pod_body(
                    image=image, args=args, restart_policy=restart_policy, pod=pod, container=container
                )["spec"]
            },
            **spec,
        },
    }


def pod_body(
    name: str = "pod",
    *,
    namespace: str = "default",
    image: str = "busybox",
    args: tuple[str, ...] = (),
    restart_policy: str = "Never",
    pod: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A pod of one container, ``main``."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": restart_policy,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    **({"args": list(args)} if args else {}),
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    **(container or {}),
                }
            ],
            **(pod or {}),
        },
    }


def secret_body(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    """An Opaque secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": data,
    }


def pull_secret_body(name: str, host: str, namespace: str = "default") -> dict[str, Any]:
    """Registry credentials for one host."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": f'{{"auths": {{"{host}": {{"auth": "dTpw"}}}}}}'},
    }


def claim_body(
    name: str = "cache",
    *,
    namespace: str = "default",
    size: str = "20Gi",
    storage_class: str | None = None,
) -> dict[str, Any]:
    """A claim that many pods may mount."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": size}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def download_body(
    name: str = "download",
    *,
    source: str,
    namespace: str = "default",
    claim: str = "cache",
    image: str = "kserve/storage-initializer:v0.16.0",
    env: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """A Job that downloads a source into a claim's volume."""
    container = {
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "env": list(env),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod = {"volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": claim}}]}
    job = job_body(
        name,
        namespace=namespace,
        image=image,
        args=(source, "/cache"),
        pod=pod,
        container=container,
        backoffLimit=0,
    )
    job["spec"]["template"]["metadata"] = {"labels": {"app.kubernetes.io/component": "download"}}
    return job
