"""What the document installs is accepted, and removed again, by the embedded server too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.installation import Checkout, Shell, commands
from support.kubectl import Kubectl
from support.served import ServedCluster

if TYPE_CHECKING:
    from pathlib import Path

STOP, KEEP_VOLUMES, _, PLAIN, KUSTOMIZE, _, HELM, _ = commands("Uninstall")
WAYS = {
    "plain": (commands("Plain manifests")[0], PLAIN),
    "kustomize": (commands("Kustomize")[0], KUSTOMIZE),
    "helm": ("\n".join(commands("Helm")), HELM),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_embedded_server_accepts_what_is_installed(way: str, checkout: Checkout, tmp_path: Path) -> None:
    install, remove = WAYS[way]
    with ServedCluster(tmp_path, crds=[], namespaces=[], controllers=True) as served:
        kubeconfig = served.kubeconfig()
        kubectl = Kubectl(kubeconfig, tmp_path / "cache")
        shell = Shell(checkout, kubeconfig, tmp_path / "home")
        for _ in ("the first time", "once more"):
            shell(install)
        assert len(kubectl.json("get", "crds")["items"]) == 9
        deployment = kubectl.json("get", "deployment", "aimctl-manager", "-n", "kaiwo-system")
        assert deployment["spec"]["template"]["spec"]["priorityClassName"] == "aimctl-manager"
        shell("kubectl apply --server-side -k config/samples")
        for block in (STOP, KEEP_VOLUMES, remove):
            shell(block)
        kinds = "crd,clusterrole,clusterrolebinding,priorityclass"
        left = kubectl("get", kinds, "-o", "name").split()
        assert [name for name in left if "aim" in name and "inferenceservices" not in name] == []
