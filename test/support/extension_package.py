"""A package outside of the source tree that extends the operator, as a platform team would install it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MODULE", "install_extension"]

MODULE = '''
"""Each Quota gets a ConfigMap with its limit; it owns Jobs, and watches full Nodes."""

from aimctl.runtime import (
    CONFIG_MAPS, JOBS, NODES, EnqueueMapped, Manager, Permission, Request, Resource, Watch, owner_reference, run
)
from prometheus_client import Gauge

QUOTAS = Resource.untyped("acme.example", "v1", "Quota", "quotas")
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "quotas.acme.example"},
    "spec": {
        "group": "acme.example",
        "scope": "Namespaced",
        "names": {"kind": "Quota", "listKind": "QuotaList", "plural": "quotas", "singular": "quota"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"limit": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}
PERMISSIONS = (Permission(CONFIG_MAPS, ("create", "patch"), "publish the limit"),)


def add_quotas(manager: Manager) -> None:
    async def reconcile(request: Request) -> None:
        quota = manager.cache.get(QUOTAS, request.name, request.namespace)
        if quota is None:
            return
        limits.set(quota.view["spec"]["limit"])
        key = {"name": request.name, "namespace": request.namespace}
        body = {
            "metadata": {**key, "ownerReferences": [owner_reference(quota)]},
            "data": {"limit": str(quota.view["spec"]["limit"])},
        }
        await manager.client.apply(CONFIG_MAPS, body)

    limits = Gauge("acme_limit", "The last limit.", registry=manager.metrics.registry)
    manager.requirements.add_permissions(*PERMISSIONS)
    manager.requirements.add_crds(CRD)
    manager.add_ready_check("acme", lambda: None)
    manager.add_debug_page("acme", lambda: {"quotas": len(manager.cache.list(QUOTAS))})
    nodes = Watch(manager.cache.declare(NODES), EnqueueMapped(lambda node: ()))
    manager.controller("acme-quotas", reconcile, for_=QUOTAS, owns=[CONFIG_MAPS, JOBS], sources=[nodes])


def add_with_operator(manager: Manager) -> None:
    from aimctl.operator import add_operator

    add_operator(manager)
    add_quotas(manager)


async def asynchronous(manager: Manager) -> None: ...


def failing(manager: Manager) -> None:
    raise KeyError("ACME_TOKEN")


def unmet(manager: Manager) -> None:
    async def check(client):
        return "the licence server is missing: install it"

    manager.requirements.add_check("licence", check)


if __name__ == "__main__":
    run(add_with_operator, name="acme")
'''
"""The module ``acme``."""


def install_extension(folder: Path, *, entry_point: str = "") -> Path:
    """Install the package ``acme`` 1.2 into a folder for PYTHONPATH.

    Args:
        folder: to create.
        entry_point: a function of ``acme`` that is offered as the extension ``quotas``; "" for no entry point.
    """
    metadata = folder / "acme-1.2.dist-info"
    metadata.mkdir(parents=True)
    (folder / "acme.py").write_text(MODULE, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n", encoding="utf-8")
    if entry_point:
        text = f"[aimctl.reconcilers]\nquotas = acme:{entry_point}\n"
        (metadata / "entry_points.txt").write_text(text, encoding="utf-8")
    return folder
