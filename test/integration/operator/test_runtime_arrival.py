"""Services whose runtime is not installed: told so, asked again when KServe comes, and left in peace until then."""

from __future__ import annotations

import asyncio

from aimctl.api import kinds
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

STATIC = [{"name": "m", "sourceURI": "hf://m/m", "size": "16Gi"}]


async def states(w) -> dict[str, tuple[str, str]]:
    """Status of each service, and the reason of RuntimeReady."""
    found = {}
    async for service in w.client.list_all(kinds.SERVICES):
        status = service.view.status
        reasons = {item.type: item.reason for item in status.conditions}
        found[service.meta.name] = (status.status, reasons.get("RuntimeReady", ""))
    return found


@virtual_time
async def test_services_that_lack_nothing_but_kserve_run_once_it_is_installed():
    async with world() as w:
        await w.model("m")
        await w.template("t", "team", modelSources=STATIC)
        for number in range(5):
            await w.service(f"s{number}", "team", model={"ref": "m"})
        w.start()
        await asyncio.sleep(60)
        assert set((await states(w)).values()) == {("Starting", "RuntimeNotInstalled")}
        await w.install_kserve()
        await asyncio.sleep(120)
        assert {state for state, _ in (await states(w)).values()} == {"Running"}


@virtual_time
async def test_services_that_wait_for_kserve_are_not_looked_at_again_and_again():
    async with world() as w:
        await w.model("m")
        await w.template("t", "team", modelSources=STATIC)
        for number in range(5):
            await w.service(f"s{number}", "team", model={"ref": "m"})
        replica = w.start()
        await asyncio.sleep(60)

        def looks() -> float:
            return replica.metric(
                "controller_runtime_reconcile_total", controller="services", result="success"
            )

        before = looks()
        await asyncio.sleep(3600)
        assert looks() == before
        await w.client.delete(kinds.SERVICES, "s0", "team")
        await asyncio.sleep(60)
        before = looks()
        await w.install_kserve()
        await asyncio.sleep(3600)
        assert looks() - before < 4 * 8, "a few looks at each until it runs, and none at the one that is gone"
