"""Checks before the start: are the CRDs installed, and has the operator the permissions that it needs?

The checks are those of :mod:`aimctl.runtime.program.preflight`; this module adds the kinds, permissions and remedies of
the operator, and a warning about old servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from aimctl.api.kinds import OPERATOR_KINDS
from aimctl.controllers.options import LEASE_NAME
from aimctl.controllers.permissions import reconciler_permissions
from aimctl.runtime.kube import ApiError, DecodeError
from aimctl.runtime.kube.discovery import server_version
from aimctl.runtime.manager import EVENT_PERMISSIONS, Requirements, lease_permissions
from aimctl.runtime.program.preflight import Remedies, Right, check_requirements, rights_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.controllers.operator import OperatorOptions
    from aimctl.runtime.kube import Client

__all__ = ["OLDEST_SERVER", "check", "rights"]

OLDEST_SERVER = (1, 25)
"""The first Kubernetes version that evaluates CEL rules in CRDs without a feature gate."""

_REMEDIES = Remedies(
    crds="install the CRDs with 'aimctl manifests crd | kubectl apply --server-side -f -'",
    permissions="Grant it with 'aimctl manifests rbac | kubectl apply --server-side -f -', or run under the service"
    " account bound there",
)


def rights(options: OperatorOptions, *, leader_election_namespace: str = "") -> Iterable[Right]:
    """Return every permission that the operator uses, each once: what its modules declare, for the watched namespaces.

    ``aimctl manifests rbac`` grants the same permissions.
    """
    everywhere = options.namespaces
    # Events about cluster-scoped objects are created in the namespace "default".
    with_default = (*everywhere, "default") if everywhere else ()
    wanted = [
        *rights_of(reconciler_permissions(), everywhere),
        *rights_of(EVENT_PERMISSIONS, with_default),
        *(
            rights_of(lease_permissions(LEASE_NAME), (leader_election_namespace,))
            if leader_election_namespace
            else ()
        ),
    ]
    return tuple(dict.fromkeys(wanted))


async def check(
    client: Client,
    options: OperatorOptions,
    *,
    leader_election_namespace: str = "",
    requirements: Requirements | None = None,
) -> None:
    """Check CRDs and permissions; log a warning if the server is older than :data:`OLDEST_SERVER`.

    Args:
        client: asks with the account of the process.
        options: of the operator.
        leader_election_namespace: of the Lease; "" without leader election.
        requirements: of the extensions.

    Raises:
        NotInstalled: a CRD, a permission or a condition of an extension is missing.
        KubeError: the API server cannot be reached or rejects the requests.
    """
    requirements = Requirements() if requirements is None else requirements
    await check_requirements(
        client,
        requirements,
        (
            *rights(options, leader_election_namespace=leader_election_namespace),
            *rights_of(requirements.permissions, options.namespaces),
        ),
        kinds=((kind.plural, kind.group, kind.kind) for kind in OPERATOR_KINDS),
        remedies=_REMEDIES,
    )
    await _check_version(client)


async def _check_version(client: Client) -> None:
    try:
        version = await server_version(client)
    except (ApiError, DecodeError):
        return  # the version is needed for the warning only
    if version.numbers < OLDEST_SERVER:
        structlog.get_logger(__name__).warning(
            "this API server is older than 1.25: it does not evaluate the CEL rules on immutable fields, and"
            " 1.20 loses list entries on server-side apply; see docs/operating.md",
            server_version=version.text,
        )
