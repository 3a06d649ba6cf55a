"""What the components of a manager need in the cluster: permissions, CRDs, and other conditions.

Contract:
    * A component adds its requirements in its setup function, next to its controllers. Nothing is checked then: the
      program checks them before the start, and its manifests contain the permissions and the CRDs.
    * Adding is idempotent: an equal permission, or an equal CRD, is kept once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aimctl.kubetypes.permissions import Permission
    from aimctl.runtime.kube import Client

__all__ = ["ClusterCheck", "Requirements"]

ClusterCheck: TypeAlias = "Callable[[Client], Awaitable[str | None]]"
"""Asks the cluster whether a condition is met. Returns None, or one sentence with the cause and the remedy."""


@final
class Requirements:
    """The requirements of all components of a manager.

    Attributes:
        permissions: in the order in which they were added.
        crds: CRDs as JSON, by ``plural.group``.
        checks: further conditions, by name.
    """

    def __init__(self) -> None:
        self.permissions: list[Permission] = []
        self.crds: dict[str, Mapping[str, Any]] = {}
        self.checks: dict[str, ClusterCheck] = {}

    def add_permissions(self, *permissions: Permission) -> None:
        """Add permissions. List and watch of declared kinds need not be added: the declarations imply them."""
        self.permissions += (one for one in permissions if one not in self.permissions)

    def add_crds(self, *crds: Mapping[str, Any]) -> None:
        """Add CustomResourceDefinitions as JSON.

        Raises:
            ValueError: it is not a CRD of ``apiextensions.k8s.io/v1``, or another one has its name.
        """
        for crd in crds:
            try:
                group, names = crd["spec"]["group"], crd["spec"]["names"]
                name, named = f"{names['plural']}.{group}", crd["metadata"]["name"]
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"not a CustomResourceDefinition: {error!r} in its metadata.name, spec.group or spec.names"
                ) from None
            if crd.get("kind") != "CustomResourceDefinition" or named != name:
                raise ValueError(
                    f"CRD {named!r}: the kind must be CustomResourceDefinition, and the name {name!r}"
                )
            if self.crds.setdefault(name, crd) != crd:
                raise ValueError(f"CRD {name!r} is added twice with different content: use one definition")

    def add_check(self, name: str, check: ClusterCheck) -> None:
        """Add a condition that is checked before the start. While it is not met, the program does not start.

        Raises:
            ValueError: the name is taken.
        """
        if name in self.checks:
            raise ValueError(f"check {name!r} exists already: choose another name")
        self.checks[name] = check
