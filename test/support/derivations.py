"""Services with overrides and the templates derived for them, on a :class:`~support.operator.World`.

Everything is read from the server, nothing from the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api import kinds

if TYPE_CHECKING:
    from support.operator import World

__all__ = ["FAST", "TEAM", "Derivations"]

TEAM = "team"
FAST = {"metric": "throughput"}
DERIVED_LABEL = "aim.silogen.ai/derived-template"


class Derivations:
    """The services and derived templates of one namespace.

    Args:
        world: the cluster.
        namespace: of the services.
    """

    def __init__(self, world: World, namespace: str = TEAM) -> None:
        self._world = world
        self.namespace = namespace

    # ---- acting

    async def service(self, name: str, overrides: Any = FAST, base: str | None = "base", **spec: Any) -> None:
        """Create or change a service; with None it has no overrides."""
        wanted = {"model": {"ref": "m"}, "templateRef": base, "overrides": overrides, **spec}
        await self._world.service(name, self.namespace, **wanted)

    async def drop(self, name: str, **options: Any) -> None:
        """Delete a service."""
        await self._world.client.delete(kinds.SERVICES, name, self.namespace, **options)

    # ---- reading

    @property
    def templates(self) -> dict[str, dict[str, Any]]:
        """The derived templates by name."""
        return {
            name: body
            for (namespace, name), body in self._world.ledger.templates.items()
            if namespace == self.namespace and DERIVED_LABEL in (body["metadata"].get("labels") or {})
        }

    def owners(self, name: str) -> list[str]:
        """The names of the owners of a derived template, sorted; empty if it does not exist."""
        body = self.templates.get(name) or {"metadata": {}}
        return sorted(owner["name"] for owner in body["metadata"].get("ownerReferences") or [])

    @property
    def all_owners(self) -> dict[str, list[str]]:
        """Owners by template."""
        return {name: self.owners(name) for name in self.templates}

    def condition(self, service: str, type_: str = "Derived") -> dict[str, Any]:
        """A condition of a service."""
        body = self._world.ledger.services.get((self.namespace, service)) or {}
        conditions = (body.get("status") or {}).get("conditions") or []
        return next((item for item in conditions if item["type"] == type_), {})

    def finding(self, service: str) -> tuple[str, str]:
        """Status and reason of ``Derived``."""
        found = self.condition(service)
        return found.get("status", ""), found.get("reason", "")

    def uses(self, service: str) -> str:
        """The name of the template in use, from the status of a service."""
        body = self._world.ledger.services.get((self.namespace, service)) or {}
        return ((body.get("status") or {}).get("resolvedTemplate") or {}).get("name", "")

    # ---- waiting

    async def until_finding(self, service: str, status: str, reason: str, seconds: float = 60.0) -> None:
        """Wait until ``Derived`` has this status and reason."""
        await self._world.until(
            lambda: self.finding(service) == (status, reason), seconds, f"{service} reports {reason}"
        )

    async def until_owned(self, wanted: dict[str, list[str]], seconds: float = 60.0) -> None:
        """Wait until the derived templates are exactly these, with these owners."""
        await self._world.until(lambda: self.all_owners == wanted, seconds, f"derived: {wanted}")
