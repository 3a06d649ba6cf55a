"""Protected metrics with the manager's own account: tokens of the cluster, its permissions, and the generated roles."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from support.managers import ManagerProcess, samples_of
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster


def get(port: int, path: str, token: str = "") -> tuple[int, str]:
    """The status and the text of a page; the certificate is self-signed."""
    request = urllib.request.Request(
        f"https://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Account:
    """A service account, bound to a ClusterRole of the manifests; "" for none."""

    def __init__(self, cluster: RunningCluster, namespace: str, name: str, role: str = "") -> None:
        self._kubectl, self._namespace, self._name = cluster.kubectl, namespace, name
        self._kubectl("create", "serviceaccount", name, "-n", namespace)
        if role:
            account = f"--serviceaccount={namespace}:{name}"
            binding = f"{namespace}-{name}"
            self._kubectl("create", "clusterrolebinding", binding, f"--clusterrole={role}", account)

    def token(self, *flags: str) -> str:
        return self._kubectl("create", "token", self._name, "-n", self._namespace, *flags).strip()


@pytest.mark.proof
def test_tokens_and_roles_of_the_cluster_decide_who_reads_the_pages(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    namespace = cluster.new_namespace("metrics")
    scraper = Account(cluster, namespace, "scraper", "aimctl-metrics-reader")
    debugger = Account(cluster, namespace, "debugger", "aimctl-debug-reader")
    other = Account(cluster, namespace, "other")
    with ManagerProcess(cluster.manager_kubeconfig, tmp_path / "log", "--metrics-secure") as manager:
        manager.wait_ready()
        port = manager.metrics_port
        # The authorizer of a real server may see a new binding a moment later.
        token = scraper.token()
        eventually(lambda: get(port, "/metrics", token)[0] == 200, 30, "the metrics are shown")
        samples = samples_of(get(port, "/metrics", token)[1])
        assert samples['aimctl_certificate_expiry_timestamp_seconds{certificate="metrics"}'] > 0
        eventually(lambda: get(port, "/debug/caches", debugger.token())[0] == 200, 30, "a page is shown")
        assert get(port, "/metrics")[0] == 401
        assert get(port, "/metrics", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA")[0] == 401
        assert get(port, "/metrics", scraper.token("--audience=other"))[0] == 401
        if cluster.kind != "embedded":  # whose authorizer allows everything
            assert get(port, "/metrics", other.token()) == (
                403,
                "Forbidden: the user of the token may not get this path\n",
            )
            assert get(port, "/debug/caches", token)[0] == 403
            assert get(port, "/metrics", debugger.token())[0] == 403
        assert manager.terminate() == 0
        assert token not in manager.log
