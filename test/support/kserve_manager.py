"""KServe's own manager, as a process beside a real API server.

    with RunningCluster("real", folder, kserve_crds=crds(built)) as cluster, KServeManager(cluster, built, folder):
        ...  # InferenceServices become Deployments

Contract:
    * ``built`` is the result of hack/build-kserve.sh. CRDs, webhooks and configuration are those of the release.
    * Its webhooks for InferenceServices serve HTTPS on loopback with a certificate of an authority of the test.
    * There is no controller of Deployments and no Ingress controller: a test sets the status of Deployments itself, see
      :func:`set_available`.
    * Leaving the context kills the process by its id, and removes the webhooks.
"""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

import kubernetes
import yaml

from support.component import Component
from support.documents import load_all_yaml
from support.pki import CertificateAuthority
from support.ports import reserve_port
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster
    from support.stage import Document

__all__ = ["KServeManager", "crds", "set_available"]

_NAMESPACE = "kserve"
_WEBHOOKS = "inferenceservice.serving.kserve.io"
_NOT_USED = ("llmisvc", "localmodel")
_START_SECONDS = 60


def crds(built: Path) -> str:
    """The CRDs of KServe, as YAML documents."""
    folder = built / "config" / "crd" / "full"
    files = sorted(
        path for path in folder.rglob("serving.kserve.io_*.yaml") if path.parent.name not in _NOT_USED
    )
    return "---\n".join(path.read_text(encoding="utf-8") for path in files)


class KServeManager:
    """The running manager, as a context manager.

    Args:
        cluster: with the CRDs of KServe.
        built: the result of hack/build-kserve.sh.
        directory: for certificates and the log.
    """

    def __init__(self, cluster: RunningCluster, built: Path, directory: Path) -> None:
        self._cluster = cluster
        self._built = built
        self._directory = directory
        self._ports = [reserve_port() for _ in range(3)]
        self._process = Component("kserve-manager", directory / "kserve-manager.log")

    def __enter__(self) -> Self:
        config = self._built / "config"
        for text in (
            yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}),
            (config / "configmap" / "inferenceservice.yaml").read_text(encoding="utf-8"),
        ):
            self._cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)
        webhook, metrics, probes = (port.number for port in self._ports)
        authority = CertificateAuthority(self._directory)
        # The folder of controller-runtime in the folder for temporary files; the manager has no flag for it.
        certificates = self._directory / "k8s-webhook-server" / "serving-certs"
        certificates.mkdir(parents=True)
        files = authority.issue("webhook")
        files.certificate.rename(certificates / "tls.crt")
        files.key.rename(certificates / "tls.key")
        environment = {
            "KUBECONFIG": self._cluster.kubeconfig,
            "TMPDIR": self._directory,
            "POD_NAMESPACE": _NAMESPACE,
        }
        self._process.start(
            [
                "env",
                *(f"{name}={value}" for name, value in environment.items()),
                str(self._built / "bin" / "manager"),
                f"--webhook-port={webhook}",
                f"--metrics-addr=127.0.0.1:{metrics}",
                f"--health-probe-addr=127.0.0.1:{probes}",
            ]
        )
        try:
            eventually(
                lambda: not self._process.running or _answers(f"http://127.0.0.1:{probes}/readyz"),
                _START_SECONDS,
                "KServe's manager is ready",
                otherwise=self._process.log_tail,
            )
            assert self._process.running, self._process.log_tail()
            self._register_webhooks(f"https://127.0.0.1:{webhook}", authority.certificate)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.kubectl(
            "delete",
            "mutatingwebhookconfigurations,validatingwebhookconfigurations",
            _WEBHOOKS,
            "--ignore-not-found",
        )
        self._process.kill_now()
        for port in self._ports:
            port.release()

    @property
    def log(self) -> str:
        """The end of its log."""
        return self._process.log_tail(60)

    def _register_webhooks(self, url: str, authority: Path) -> None:
        bundle = base64.b64encode(authority.read_bytes()).decode()
        text = (self._built / "config" / "webhook" / "manifests.yaml").read_text(encoding="utf-8")
        found = [item for item in load_all_yaml(text) if item["metadata"]["name"] == _WEBHOOKS]
        assert len(found) == 2, "a mutating and a validating configuration"
        for item in found:
            item["metadata"] = {"name": _WEBHOOKS}
            for webhook in item["webhooks"]:
                path = webhook["clientConfig"]["service"]["path"]
                webhook["clientConfig"] = {"url": f"{url}{path}", "caBundle": bundle}
        self._cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(found))


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def set_available(
    api: Any, namespace: str, name: str, *, available: bool = True, **condition: str
) -> Document:
    """Write the status that the controller of Deployments gives a Deployment; returns the Deployment.

    Args:
        api: client of the ``kubernetes`` package.
        namespace: of the Deployment.
        name: of the Deployment.
        available: whether its pods are ready.
        **condition: fields of one more condition.
    """
    apps = kubernetes.client.AppsV1Api(api)
    deployment = eventually(lambda: _read(apps, name, namespace), 30, f"Deployment {name} exists")
    replicas = deployment.spec.replicas or 1
    conditions: list[dict[str, str]] = [
        {
            "type": "Available",
            "status": "True" if available else "False",
            "reason": "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
            "message": f"Deployment {'has' if available else 'does not have'} minimum availability.",
        },
        {
            "type": "Progressing",
            "status": "True",
            "reason": "NewReplicaSetAvailable" if available else "ReplicaSetUpdated",
            "message": f'ReplicaSet "{name}-1" {"has successfully progressed" if available else "is progressing"}.',
        },
    ]
    status = {
        "observedGeneration": deployment.metadata.generation,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas if available else 0,
        "readyReplicas": replicas if available else 0,
        "conditions": [*conditions, *([condition] if condition else [])],
    }
    eventually(lambda: _replace_status(apps, name, namespace, status), 10, f"the status of {name} is written")
    return api.sanitize_for_serialization(deployment)


def _replace_status(apps: Any, name: str, namespace: str, status: Document) -> bool:
    """Whether no other writer changed the Deployment in between. A patch would keep other conditions."""
    body = apps.api_client.sanitize_for_serialization(apps.read_namespaced_deployment(name, namespace))
    try:
        apps.replace_namespaced_deployment_status(name, namespace, {**body, "status": status})
    except kubernetes.client.exceptions.ApiException as error:
        if error.status == 409:
            return False
        raise
    return True


def _read(apps: Any, name: str, namespace: str) -> Any:
    try:
        return apps.read_namespaced_deployment(name, namespace)
    except kubernetes.client.exceptions.ApiException as error:
        if error.status == 404:
            return None
        raise
