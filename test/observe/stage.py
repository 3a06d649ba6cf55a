"""What is observed: the embedded cluster over sockets, two managers as processes, and a Prometheus that scrapes both.

The metrics are protected as in the manifests: Prometheus scrapes them with TLS and the token of a service account, as the
shipped ServiceMonitor says. All pods of the cluster run in a tenth of their usual time. The client certificate of the managers is a file that a test
replaces, as a tool that renews certificates does.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import yaml

from aimctl.devcluster import DevCluster
from aimctl.devcluster.controllers.batch.job_tally import JobBackoff
from aimctl.kubetypes.builtin import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.errors import AlreadyExists
from aimctl.simulation import Catalogue, RegistryFront, Simulation
from aimctl.simulation.kserve import INFERENCE_SERVICES, OUTCOME_ANNOTATION
from observe.disturbing import FAULT_LABEL
from observe.prometheus import Prometheus
from support.documents import load_yaml
from support.managers import ManagerProcess
from support.pki import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from aimctl.kubetypes import Resource
    from aimctl.runtime.kube import Client
    from observe.prometheus import Firing

__all__ = ["DISCOVERY_LIMIT", "QUIET_SECONDS", "TEAM", "Stage", "stage"]

TEAM = "team"
DISCOVERY_LIMIT = 2
_MONITOR = Path(__file__).parents[2] / "config" / "prometheus" / "service-monitor.yaml"
_PACE = 0.1
_BOOKMARK_SECONDS = 2.0
_POLL_SECONDS = 0.25
QUIET_SECONDS = 5.0


@final
class Stage:
    """The running system, and what a user or an accident does to it."""

    def __init__(
        self,
        cluster: DevCluster,
        simulation: Simulation,
        managers: Sequence[ManagerProcess],
        prometheus: Prometheus,
        authority: CertificateAuthority,
        certificates: Path,
    ) -> None:
        self.cluster = cluster
        self.simulation = simulation
        self.managers = managers
        self.prometheus = prometheus
        self.began = time.time()
        self._client = cluster.internal_client("user")
        self._authority = authority
        self._certificates = certificates
        self.kubeconfig = certificates / "kubeconfig"
        self.fired: dict[str, set[Firing]] = {}
        """By name, every alert that has fired, with its labels."""
        self.fired_at: dict[str, float] = {}
        """By name, the Unix time at which an alert fired first."""

    # ---- what users do

    async def apply(self, kind: Resource[Any], name: str, namespace: str = TEAM, **spec: Any) -> None:
        """Create or change an object of one of the operator's kinds."""
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
        await self._client.apply(kind, body)

    async def delete(self, kind: Resource[Any], *names: str) -> None:
        """Delete objects of the team."""
        for name in names:
            await self._client.delete(kind, name, TEAM)

    async def state(self, kind: Resource[Any], name: str) -> str:
        """``status.status`` of an object of the team."""
        return (await self._client.get(kind, name, TEAM)).view.status.status or ""

    async def disturb(self, fault: str, count: int = 1) -> None:
        """Create the ConfigMaps that select a fault of :mod:`observe.disturbing`."""
        for number in range(count):
            metadata = {"name": f"{fault}-{number}", "namespace": TEAM, "labels": {FAULT_LABEL: fault}}
            await self._client.create(CONFIG_MAPS, {"metadata": metadata})

    async def calm(self, fault: str, count: int = 1) -> None:
        """Delete them."""
        await self.delete(CONFIG_MAPS, *(f"{fault}-{number}" for number in range(count)))

    async def set_outcome(self, service: str, outcome: str | None) -> None:
        """Let the model server of a service fail, or recover with None."""
        found = await self._client.list(INFERENCE_SERVICES, TEAM)
        for item in found.items:
            if service in item.meta.name:
                annotations = {OUTCOME_ANNOTATION: outcome}
                patch = {"metadata": {"annotations": annotations}}
                await self._client.patch(INFERENCE_SERVICES, item.meta.name, patch, TEAM)

    def renew_certificate(self, *, days: float) -> None:
        """Install a client certificate that is valid for so many days."""
        install_certificate(self._authority, self._certificates, days=days)

    # ---- the managers

    async def leader(self) -> ManagerProcess | None:
        """The manager that leads."""
        for manager in self.managers:
            if await asyncio.to_thread(lambda one=manager: one.leading):
                return manager
        return None

    async def start_managers(self) -> None:
        """Start those that do not run, and wait until all are ready and one leads."""
        for manager in self.managers:
            if not manager.running:
                manager.start()
        for manager in self.managers:
            await asyncio.to_thread(manager.wait_ready, 60)
        await self.until("a leader", self.leader, seconds=40)

    async def stop_managers(self) -> None:
        """Stop all of them, as a Deployment with zero replicas does."""
        await asyncio.gather(*(asyncio.to_thread(manager.terminate) for manager in self.managers))

    # ---- waiting

    async def until(self, what: str, check: Callable[[], Awaitable[Any]], *, seconds: float) -> None:
        """Wait until ``check`` returns something true."""
        end = time.monotonic() + seconds
        while not await check():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:g} s: {what}; {await self._now()}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _now(self) -> str:
        firing = sorted({one.name for one in await self.prometheus.firing()})
        return f"firing: {', '.join(firing) or 'nothing'}"

    async def watch_alerts(self) -> None:
        """Record the alerts that fire, until cancelled."""
        while True:
            for one in await self.prometheus.firing():
                self.fired.setdefault(one.name, set()).add(one)
                self.fired_at.setdefault(one.name, time.time())
            await asyncio.sleep(_POLL_SECONDS)

    async def fires(self, alert: str, *, seconds: float = 60, **labels: str) -> None:
        """Wait until an alert has fired with these labels, since the beginning."""

        async def firing() -> bool:
            return any(labels.items() <= dict(one.labels).items() for one in self.fired.get(alert, ()))

        await self.until(f"{alert} {labels or ''} fires", firing, seconds=seconds)

    async def scraped(self) -> bool:
        """Whether Prometheus reaches both managers."""
        return (await self.prometheus.instant('count(up{job="aimctl"} == 1)')).get(()) == len(self.managers)

    async def quiet(self, *, seconds: float) -> None:
        """Wait until no alert has fired for :data:`QUIET_SECONDS`."""
        latest = time.monotonic()

        async def silent() -> bool:
            nonlocal latest
            if await self.prometheus.firing():
                latest = time.monotonic()
            return time.monotonic() - latest > QUIET_SECONDS

        await self.until("no alert fires", silent, seconds=seconds)


@asynccontextmanager
async def stage(binary: str, folder: Path, groups: Sequence[Mapping[str, Any]]) -> AsyncIterator[Stage]:
    """Start everything; it is ready when one manager leads and the other is its standby."""
    clock = LoopClock()
    simulation = Simulation(
        clock=clock,
        catalogue=Catalogue.default().extended(
            {"image": "registry-*.example/*", "labels": {"org.opencontainers.image.title": "any"}},
            {"image": "plain:*"},
        ),
        kserve=True,
        progress_seconds=1.0,
    )
    cluster = DevCluster(
        clock=clock,
        add_ons=simulation.add_ons,
        pace=_PACE,
        job_backoff=JobBackoff(factor=0.02),
        bookmark_seconds=_BOOKMARK_SECONDS,
    )
    authority = CertificateAuthority(folder)
    install_certificate(authority, folder, days=90)
    async with cluster, RegistryFront(simulation.registry) as registry:
        await cluster.serve(tls=True)
        kubeconfig = cluster.write_kubeconfig(folder / "kubeconfig")
        config = load_yaml(kubeconfig.read_text())
        config["users"][0]["user"] |= {
            "client-certificate": str(folder / "client.crt"),
            "client-key": str(folder / "client.key"),
        }
        kubeconfig.write_text(yaml.safe_dump(config))
        client = cluster.internal_client("user")
        with suppress(AlreadyExists):
            await client.create(NAMESPACES, {"metadata": {"name": TEAM}})
        managers = [
            ManagerProcess(
                kubeconfig,
                folder / f"{name}.log",
                "--leader-elect",
                f"--discovery-limit={DISCOVERY_LIMIT}",
                f"--registry-mirror=*={registry.endpoint.url}",
                "--with=observe.disturbing:add_faults",
                "--metrics-secure",
            )
            for name in ("manager-a", "manager-b")
        ]
        token = await _token(client, "prometheus")
        (folder / "token").write_text(token)
        try:
            prometheus = Prometheus(
                binary,
                folder,
                targets=[f"127.0.0.1:{manager.metrics_port}" for manager in managers],
                groups=groups,
                scrape=scrape_settings(folder),
            )
            for manager in managers:
                manager.token = token
                manager.start()
                await asyncio.to_thread(manager.wait_ready, 60)
            async with prometheus:
                made = Stage(cluster, simulation, managers, prometheus, authority, folder)
                await made.until("a leader", made.leader, seconds=40)
                await made.until("two targets", made.scraped, seconds=20)
                await made.quiet(seconds=20)
                watching = asyncio.get_running_loop().create_task(made.watch_alerts())
                try:
                    yield made
                finally:
                    watching.cancel()
                    await asyncio.wait([watching])
        finally:
            for manager in managers:
                await asyncio.to_thread(manager.__exit__)


def scrape_settings(folder: Path) -> dict[str, Any]:
    """What the shipped ServiceMonitor means for a Prometheus whose token is in a file of the folder."""
    (endpoint,) = load_yaml(_MONITOR.read_text(encoding="utf-8"))["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scheme", "bearerTokenFile", "tlsConfig"}
    return {
        "scheme": endpoint["scheme"],
        "metrics_path": endpoint["path"],
        "tls_config": {"insecure_skip_verify": endpoint["tlsConfig"]["insecureSkipVerify"]},
        "authorization": {"credentials_file": str(folder / "token")},
    }


async def _token(client: Client, account: str) -> str:
    """A token of a new service account."""
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": account, "namespace": TEAM}})
    path = f"/api/v1/namespaces/{TEAM}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await client.raw("POST", path, body=json.dumps(body).encode())
    return str(json.loads(answer)["status"]["token"])


def install_certificate(authority: CertificateAuthority, folder: Path, *, days: float) -> None:
    """Issue a client certificate, and replace the files of the managers."""
    files = authority.issue(f"manager-for-{days:g}-days", days=days)
    for made, name in ((files.key, "client.key"), (files.certificate, "client.crt")):
        fresh = folder / f"{name}.new"
        shutil.copy(made, fresh)
        fresh.replace(folder / name)
