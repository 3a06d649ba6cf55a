"""The manifests of an operator: CRDs, service account and roles, from the requirements of its setup functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.kubetypes.permissions import observes
from aimctl.runtime.manager import events
from aimctl.runtime.manager.leaderelection import election
from aimctl.runtime.program.extensions import set_up_without_cluster

if TYPE_CHECKING:
    from aimctl.runtime.program.options import RunOptions
    from aimctl.runtime.program.run import Setup

__all__ = ["program_manifests"]


def program_manifests(options: RunOptions, *setups: Setup) -> str:
    """Return what a cluster needs for an operator, as YAML in the order in which it can be applied.

    The roles grant the required permissions, those for reviews if the metrics are protected, list and watch of the
    declared kinds, the Lease and Events to the service account with the name of the operator. It is in the namespace of
    the Lease (default: ``default``). If the options name namespaces to watch, namespaced resources are granted in these
    only. The setup functions run without a cluster.

    Args:
        options: of the process.
        setups: add controllers to the manager.

    Raises:
        Exception: any error of a setup function.
    """
    from aimctl.generation.documents import to_yaml
    from aimctl.generation.roles import rbac_manifest
    from aimctl.runtime.manager.serving.secure.access import REVIEW_PERMISSIONS

    manager = set_up_without_cluster(setups)
    name, namespace = options.name, options.leader_election_namespace or "default"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
    }
    declared = (informer.resource for informer in manager.cache.informers)
    permissions = (
        *manager.requirements.permissions,
        *observes(*declared, reason="cache"),
        *events.PERMISSIONS,
        *(REVIEW_PERMISSIONS if options.metrics_secure else ()),
    )

    parts = [
        to_yaml(*manager.requirements.crds.values(), account),
        rbac_manifest(
            name,
            permissions,
            service_account=name,
            service_account_namespace=namespace,
            namespaces=options.watch_namespaces,
        ),
    ]
    if options.leader_elect:
        parts.append(
            rbac_manifest(
                f"{name}-leader-election",
                election.lease_permissions(options.lease_name or name),
                service_account=name,
                service_account_namespace=namespace,
                namespaces=(namespace,),
            )
        )
    return "---\n".join(parts)
