"""Services without KServe: reported, reconciled when it is installed, and not before."""

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
async def test_services_that_lack_only_kserve_run_when_it_is_installed():
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
async def test_services_that_wait_for_kserve_are_not_reconciled_meanwhile():
    async with world() as w:
        await w.model("m")
        await w.template("t", "team", modelSources=STATIC)
        for number in range(5):
            await w.service(f"s{number}", "team", model={"ref": "m"})
        replica = w.start()
        await asyncio.sleep(60)

        def reconciles() -> float:
            return replica.metric(
                "controller_runtime_reconcile_total", controller="services", result="success"
            )

        before = reconciles()
        await asyncio.sleep(3600)
        assert reconciles() == before
        await w.client.delete(kinds.SERVICES, "s0", "team")
        await asyncio.sleep(60)
        before = reconciles()
        await w.install_kserve()
        await asyncio.sleep(3600)
        assert reconciles() - before < 4 * 8, (
            "a few for each service until it runs, and none for the deleted one"
        )
