"""The status page in a headless Chromium: what it shows, how it is used, and that no object can run a script in it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.api import kinds
from aimctl.cli.programs.development import DevSettings, dev_cluster
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.controllers.options import LEASE_NAME
from aimctl.devcluster import DevCluster
from aimctl.kubetypes.builtin import NAMESPACES, SERVICE_ACCOUNTS
from aimctl.runtime import LeaderElectionOptions, Manager, ManagerOptions, SecureServing
from aimctl.runtime.clock import LoopClock
from support.chromium import CHROMIUM, open_page
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed: run make test-observe")

TEAM = "team"
HOSTILE = (
    "<script>alert('script')</script>",
    "<img src=x onerror=\"alert('image')\">",
    "\"><svg onload=alert('svg')>",
    "javascript:alert('url')",
    "</td></table><iframe srcdoc=\"<script>parent.alert('frame')</script>\"></iframe>",
    "__proto__",
)
ROWS = "[...document.querySelectorAll('section:not([hidden]) tbody tr')]"
TITLES = "[...document.querySelectorAll('section:not([hidden]) h2')].map((one) => one.textContent)"
LIVE = "document.getElementById('connection').textContent === 'Live'"


async def create(cluster: DevCluster, kind: Any, name: str, **spec: Any) -> None:
    metadata = {"name": name, **({"namespace": TEAM} if kind.namespaced else {})}
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
    await cluster.internal_client("user").create(kind, body)


@asynccontextmanager
async def manager_with(
    sections: dict[str, Any], secure: SecureServing | None = None
) -> AsyncIterator[tuple[DevCluster, Manager, str]]:
    """A manager without controllers but with sections, and the address of its page."""
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        options = ManagerOptions(metrics_bind_address="127.0.0.1:0", metrics_secure=secure)
        manager = Manager(cluster.transport(), clock=cluster.clock, options=options)
        for title, section in sections.items():
            manager.add_status_section(title, section)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            await manager.elected.wait()
            try:
                yield cluster, manager, f"{'https' if secure else 'http'}://127.0.0.1:{manager.metrics_port}"
            finally:
                stop.set()


async def test_the_page_shows_the_objects_of_the_operator_and_follows_them(tmp_path: Path) -> None:
    settings = DevSettings(open_=True, kubeconfig_out=tmp_path / "kubeconfig", discovery_limit=1)
    async with dev_cluster(settings) as running, open_page() as page:
        cluster = running.cluster
        await cluster.internal_client("user").create(NAMESPACES, {"metadata": {"name": TEAM}})
        await create(cluster, kinds.SERVICES, "chat", model={"ref": "missing"})
        await create(cluster, kinds.CLUSTER_MODELS, "hostile", image="<img/src=x/onerror=alert(1)>")
        await create(cluster, kinds.CLUSTER_MODELS, "llama", image="ghcr.io/silogen/aim-llama:1")
        await page.go(running.status_url)
        await page.until(LIVE)
        assert await page.ask("document.getElementById('standing').textContent") == "leader"
        assert set(await page.ask(TITLES)) >= {
            "Leader election",
            "Discovery slots",
            "Templates that wait for a slot",
            "Services",
            "Templates",
            "Caches",
            "Models",
            "Controllers",
            "Queues",
            "Caches of the manager",
        }
        await page.until(f"{ROWS}.some((row) => row.textContent.includes('<img/src=x/onerror=alert(1)>'))")
        for number in range(4):
            await create(cluster, kinds.TEMPLATES, f"waits-{number}", modelName="llama")
        await page.until(f"{ROWS}.some((row) => row.cells[1].textContent === 'team/waits-3')")
        assert page.dialogs == page.errors == []


async def test_the_page_of_a_standby_names_the_leader_and_shows_no_empty_queue(tmp_path: Path) -> None:
    settings = DevSettings(open_=True, kubeconfig_out=tmp_path / "kubeconfig")
    async with dev_cluster(settings) as running, open_page() as page:
        election = LeaderElectionOptions(LEASE_NAME, "kaiwo-system", identity="second")
        options = ManagerOptions(metrics_bind_address="127.0.0.1:0", leader_election=election)
        manager = Manager(running.cluster.transport(), clock=running.cluster.clock, options=options)
        add_controllers(manager, OperatorOptions())
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            try:
                await asyncio.to_thread(eventually, lambda: manager.elector.holder, 60, "the leader is known")
                await page.go(f"http://127.0.0.1:{manager.metrics_port}/debug")
                await page.until(LIVE)
                standing = await page.ask("document.getElementById('standing').textContent")
                assert standing == "standby; the leader is aimctl-dev"
                await page.until(
                    f"{ROWS}.filter((row) => row.textContent.includes('run aimctl queue')).length === 2"
                )
                assert await page.ask(f"{ROWS}[0].cells[0].textContent") == "second"
                assert page.errors == []
            finally:
                stop.set()


async def test_the_page_is_searchable_with_the_keyboard_and_the_address_keeps_the_filter() -> None:
    def objects() -> list[dict[str, Any]]:
        return [{"name": f"object-{number:04}", "problem": number == 700} for number in range(1000)]

    async with manager_with({"Objects": objects}) as (_, _, url), open_page() as page:
        await page.go(f"{url}/debug")
        await page.until(LIVE)
        assert await page.ask(f"{ROWS}[1].closest('section').querySelectorAll('tbody tr').length") == 500
        assert await page.ask("document.querySelector('tr.problem').textContent") == "object-0700"
        assert "500 more are left out" in await page.ask("document.body.innerText")
        await page.type("/")
        await page.type("OBJECT 0999")
        # It was left out: the manager has searched for it.
        await page.until(f"{ROWS}.length === 1 && {ROWS}[0].textContent === 'object-0999'")
        address = await page.ask("location.href")
        assert address == f"{url}/debug#filter=OBJECT+0999"
        await page.press("Escape", 27)
        await page.until(f"{ROWS}.length > 500 && location.hash === ''")
        await page.go("about:blank")
        await page.go(address)
        await page.until(f"{ROWS}.length === 1 && {ROWS}[0].textContent === 'object-0999'")
        await page.press("Escape", 27)
        await page.ask("document.getElementById('filter').focus()")
        await page.press("Escape", 27)
        await page.press("Tab", 9)
        await page.type(" ")
        await page.until(f"{ROWS}.length === 1 && {ROWS}[0].textContent === 'object-0700'")
        assert await page.ask("location.hash") == "#problems=1"
        assert page.errors == []


async def test_no_text_runs_a_script() -> None:
    def hostile() -> list[dict[str, Any]]:
        return [{text: text, "name": text, "problem": True} for text in HOSTILE]

    def failing() -> list[dict[str, Any]]:
        raise ValueError(HOSTILE[0])

    sections = {**dict.fromkeys(HOSTILE, hostile), "Failing": failing}
    async with manager_with(sections) as (_, manager, url), open_page() as page:
        manager.endpoints.pages.standing = lambda: f"standby; the leader is {HOSTILE[1]}"
        await page.go(f"{url}/debug#filter=%3Cimg%20src=x%20onerror=alert(9)%3E")
        await page.until(LIVE)
        await page.ask("location.hash = ''")
        await page.until(f"{ROWS}.length >= {len(HOSTILE) ** 2}")
        text = await page.ask("document.body.textContent")
        assert all(one in text for one in HOSTILE)
        assert HOSTILE[0] in await page.ask(
            "[...document.querySelectorAll('.bad')].pop().textContent + "
            + TITLES
            + ".join() + document.body.innerText"
        )
        assert (
            await page.ask("document.querySelectorAll('main script, main img, main svg, main iframe').length")
            == 0
        )
        await asyncio.sleep(0.5)
        assert page.dialogs == page.errors == []
        assert {one.split("?")[0].split("#")[0] for one in page.requests} == {
            f"{url}/debug",
            f"{url}/debug/status",
        }
        # Nor would markup that reached the document: its policy forbids scripts, handlers and the sinks for markup.
        blocked = """(() => {
            try { document.body.innerHTML = "<img src=x onerror=alert(3)>"; return "accepted"; }
            catch (error) { return error.name; }
        })()"""
        assert await page.ask(blocked) == "TypeError"
        made = (
            "document.body.append(Object.assign(document.createElement('img'), {src: 'https://192.0.2.1/x'}))"
        )
        await page.ask(made)
        assert page.dialogs == []


async def test_a_hidden_page_sends_no_requests() -> None:
    count = 0

    def counted() -> dict[str, Any]:
        nonlocal count
        count += 1
        return {"count": count}

    async with manager_with({"Counted": counted}) as (_, _, url), open_page() as page:
        await page.go(f"{url}/debug")
        await page.until(LIVE)
        other = await page.call("Target.createTarget", url="about:blank")
        await page.call("Target.activateTarget", targetId=other["targetId"])
        await page.until("document.hidden")
        await asyncio.sleep(0.5)
        before = count
        await asyncio.sleep(4)
        assert count == before
        await page.call("Page.bringToFront")
        await page.until(f"!document.hidden && {ROWS}.some((row) => row.textContent === '{before + 1}')")
        assert count > before
        assert page.errors == []


async def test_a_protected_page_asks_for_a_token_and_keeps_it_in_memory_only() -> None:
    sections = {"Mine": lambda: {"value": "for the account only"}}
    async with manager_with(sections, SecureServing()) as (cluster, _, url), open_page() as page:
        client = cluster.client()
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "viewer"}}, "default")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = "/api/v1/namespaces/default/serviceaccounts/viewer/token"
        raw = await client.raw("POST", path, body=json.dumps(body).encode())
        token = json.loads(raw)["status"]["token"]
        await page.go(f"{url}/debug")
        await page.until("document.activeElement.id === 'token'")
        assert "for the account only" not in await page.ask("document.documentElement.innerHTML")
        await page.type("wrong")
        await page.ask("document.querySelector('form').requestSubmit()")
        await page.until("document.getElementById('connection').textContent.includes('valid token')")
        await page.ask("document.getElementById('token').focus()")
        await page.call("Input.insertText", text=token)
        await page.ask("document.querySelector('form').requestSubmit()")
        await page.until(f"{LIVE} && document.body.innerText.includes('for the account only')")
        assert await page.ask("document.getElementById('access').hidden")
        kept = await page.ask(
            "document.documentElement.innerHTML + location.href + document.cookie + JSON.stringify(localStorage)"
            " + JSON.stringify(sessionStorage) + document.getElementById('token').value"
        )
        assert token not in kept
        assert not any(token in one for one in page.requests)
        assert page.dialogs == []


async def test_the_page_reports_a_manager_that_does_not_answer_and_recovers() -> None:
    async with manager_with({"Mine": lambda: {"value": "shown"}}) as (_, _, url), open_page() as page:
        await page.go(f"{url}/debug")
        await page.until(LIVE)
        await page.call(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        await page.until("document.getElementById('connection').textContent.includes('does not answer')")
        assert "shown" in await page.ask("document.body.innerText")
        await page.call(
            "Network.emulateNetworkConditions",
            offline=False,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        await page.until(LIVE)
