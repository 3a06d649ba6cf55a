"""Services with overrides and the templates derived for them, on a :class:`~support.operator.World`.

The witness is the world's ledger: nothing here looks into the operator.
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
    """Say and ask, in one namespace.

    Args:
        world: where.
        namespace: of the services.
    """

    def __init__(self, world: World, namespace: str = TEAM) -> None:
        self._world = world
        self.namespace = namespace

    # ---- say

    async def service(self, name: str, overrides: Any = FAST, base: str | None = "base", **spec: Any) -> None:
        """Create a service, or change it; it has no overrides when they are None."""
        wanted = {"model": {"ref": "m"}, "templateRef": base, "overrides": overrides, **spec}
        await self._world.service(name, self.namespace, **wanted)

    async def drop(self, name: str, **options: Any) -> None:
        """Delete a service."""
        await self._world.client.delete(kinds.SERVICES, name, self.namespace, **options)

    # ---- ask

    @property
    def templates(self) -> dict[str, dict[str, Any]]:
        """The derived templates there are, by name."""
        return {
            name: body
            for (namespace, name), body in self._world.ledger.templates.items()
            if namespace == self.namespace and DERIVED_LABEL in (body["metadata"].get("labels") or {})
        }

    def owners(self, name: str) -> list[str]:
        """The names of a derived template's owners, sorted; empty when there is no such template."""
        body = self.templates.get(name) or {"metadata": {}}
        return sorted(owner["name"] for owner in body["metadata"].get("ownerReferences") or [])

    @property
    def all_owners(self) -> dict[str, list[str]]:
        """Owners by template."""
        return {name: self.owners(name) for name in self.templates}

    def condition(self, service: str) -> dict[str, Any]:
        """``Derived`` of a service."""
        body = self._world.ledger.services.get((self.namespace, service)) or {}
        conditions = (body.get("status") or {}).get("conditions") or []
        return next((item for item in conditions if item["type"] == "Derived"), {})

    def told(self, service: str) -> tuple[str, str]:
        """Status and reason of ``Derived``."""
        found = self.condition(service)
        return found.get("status", ""), found.get("reason", "")

    def uses(self, service: str) -> str:
        """The name of the template that a service's status says it uses."""
        body = self._world.ledger.services.get((self.namespace, service)) or {}
        return ((body.get("status") or {}).get("resolvedTemplate") or {}).get("name", "")

    # ---- wait

    async def until_told(self, service: str, status: str, reason: str, seconds: float = 60.0) -> None:
        """Until ``Derived`` says so."""
        await self._world.until(
            lambda: self.told(service) == (status, reason), seconds, f"{service} says {reason}"
        )

    async def until_owned(self, wanted: dict[str, list[str]], seconds: float = 60.0) -> None:
        """Until the derived templates are exactly these, with these owners, and what that causes is over."""
        await self._world.until(lambda: self.all_owners == wanted, seconds, f"derived: {wanted}")
