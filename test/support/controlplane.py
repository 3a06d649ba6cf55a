"""A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager on loopback.

    async with ControlPlane() as plane:
        ...  # plane.kubeconfig, or plane.url with plane.token and plane.ca_file

Contract:
    * ``start`` returns when the API server is ready and the namespace ``default`` has its service account, so pods can
      be created. If that fails, it raises ``ComponentError`` with the end of the failing program's log, and no program
      is left running.
    * Each control plane starts with empty storage, RBAC, and one administrator (``token``, group system:masters).
      Service accounts, owner garbage collection, namespace deletion, workloads, Jobs and their TTL are those of
      kube-controller-manager.
    * There is no scheduler and no kubelet. The pods of a Job stay pending until a test changes them.
    * ``kill_apiserver`` crashes the API server. ``restart_apiserver`` starts it on the same port with the same data.
    * ``version`` is that of the API server: 1.28 or newer, because of the names of the controllers.
    * The programs end with the thread that calls ``start`` (see component.py). They do not depend on an event loop.

Logs of pods, shown in test/envtest/test_pod_logs.py. The API server requests
``https://<node>/containerLogs/<namespace>/<pod>/<container>`` from the kubelet and returns the body. A test that takes
the place of the kubelet:

1. Serves HTTPS on 127.0.0.1 with any certificate. Without --kubelet-certificate-authority the API server does not
   verify it. The API server presents a client certificate signed by ``ca_file``.
2. Creates a Node whose status has addresses [{type: InternalIP, address: 127.0.0.1}] and
   daemonEndpoints.kubeletEndpoint.Port (capital P). One POST is enough, because a new Node keeps its status. A flag
   makes the API server prefer InternalIP; by default it prefers Hostname.
3. Binds the pod: spec.nodeName at creation, or a Binding. The log of a pod without a node is an empty 204.
4. Does not need to set the pod's status. The kubelet decides whether the container has started, and answers 400 with a
   text if it has not.

Query parameters (follow, tailLines and so on) are passed on unchanged. A 400 of the kubelet becomes a Status whose
message is its text. A bound pod that is deleted keeps its deletionTimestamp until the test deletes it again with
gracePeriodSeconds 0, as a kubelet does.

Delays of the controllers:
    * The garbage collector discovers new kinds every 30 s. What an object of a new kind owned was deleted 40 s after its
      owner. A test that creates CRDs and relies on owner references calls ``restart_controller_manager`` after it
      created them; then the deletion takes 0.3 s.
    * The deletion of a namespace takes 5 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from support.component import Component, ComponentError
from support.kubernetes_binaries import Binaries, Version, find_binaries
from support.pki import CertificateAuthority, write_private_key
from support.ports import PortReservation, reserve_port

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ComponentError", "ControlPlane"]

_HOST = "127.0.0.1"
_CONTROLLERS = (
    "job-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "ttl-after-finished-controller",
    # Removes the finalizer that admission adds to every claim; without it, deleted claims would stay.
    "persistentvolumeclaim-protection-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "endpointslice-controller",
)


class ControlPlane:
    """An etcd, a kube-apiserver and a kube-controller-manager, started by ``start`` and ended by ``stop``.

    Args:
        binaries: the programs; :func:`find_binaries` finds them by default.
        directory: for data, logs, certificates and the kubeconfig; it is not removed. By default a new temporary
            directory that ``stop`` removes.
        apiserver_args: more flags for the API server, after those of this class.
        timeout: seconds in which each program has to become ready.
        controllers: whether kube-controller-manager runs. Without it, only requests change objects, and ``start``
            does not wait for service accounts.
        without: names of controllers that do not run.
    """

    def __init__(
        self,
        binaries: Binaries | None = None,
        directory: Path | None = None,
        *,
        apiserver_args: Sequence[str] = (),
        timeout: float = 60,
        controllers: bool = True,
        without: Sequence[str] = (),
    ) -> None:
        self.binaries = binaries or find_binaries()
        self.version: Version = self.binaries.version
        self.token = secrets.token_urlsafe(24)
        self._timeout = timeout
        self._controllers = controllers
        self._running = [name for name in _CONTROLLERS if name not in without]
        self._apiserver_args = tuple(apiserver_args)
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="aimctl-controlplane-"))
        self.kubeconfig = self.directory / "kubeconfig"
        self.ca_file = self.directory / "ca.crt"
        self._ports: list[PortReservation] = []
        self._etcd = Component("etcd", self.directory / "etcd.log")
        self._apiserver = Component("kube-apiserver", self.directory / "kube-apiserver.log")
        self._controller_manager = Component("kube-controller-manager", self.directory / "kcm.log")
        self._components = (self._controller_manager, self._apiserver, self._etcd)
        self.url = ""
        self._etcd_url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start all programs; returns when pods can be created in ``default``."""
        try:
            self._prepare()
            self._etcd.start(self._etcd_command())
            # The API server waits for etcd itself.
            self._apiserver.start(self._apiserver_command())
            await self._etcd.wait_until("health", self._etcd_is_healthy, within=self._timeout)
            await self._wait_for_apiserver()
            if not self._controllers:
                return
            self._controller_manager.start(self._controller_manager_command())
            await self._controller_manager.wait_until(
                "default service account", self._pods_can_be_created, within=self._timeout
            )
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Kill all programs and remove the temporary directory. May be called again."""
        for component in self._components:
            await component.kill()
        while self._ports:
            self._ports.pop().release()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    async def kill_apiserver(self) -> None:
        """Kill the API server: connections end, new ones are refused."""
        await self._apiserver.kill()

    async def restart_apiserver(self) -> None:
        """Kill the API server if it runs, start it again and wait until it is ready."""
        await self._apiserver.kill()
        self._apiserver.start(self._apiserver_command())
        await self._wait_for_apiserver()

    async def restart_controller_manager(self) -> None:
        """Restart kube-controller-manager, so that the garbage collector knows CRDs that were created since its start."""
        await self._controller_manager.kill()
        self._controller_manager.start(self._controller_manager_command())

    def _prepare(self) -> None:
        authority = CertificateAuthority(self.directory)
        authority.issue("apiserver")
        authority.issue("kubelet-client", "system:masters")
        write_private_key(self.directory / "service-accounts.key")
        tokens = self.directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        self._ports = [reserve_port(), reserve_port()]
        self._etcd_url, self.url = (
            f"{scheme}://{_HOST}:{port.number}"
            for scheme, port in zip(("http", "https"), self._ports, strict=True)
        )
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(self._kubeconfig(), indent=2))  # JSON is YAML

    def _kubeconfig(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }

    def _etcd_command(self) -> list[str]:
        flags = [
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls=http://{_HOST}:0",  # a cluster of one: nobody has to know the port
        ]
        return [str(self.binaries.etcd), *flags]

    def _apiserver_command(self) -> list[str]:
        folder = self.directory
        flags = [
            f"--etcd-servers={self._etcd_url}",
            f"--bind-address={_HOST}",
            f"--secure-port={self._ports[1].number}",
            f"--advertise-address={_HOST}",
            "--endpoint-reconciler-type=none",  # it would complain that no Endpoints may be on loopback
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--cert-dir={folder}",
            f"--tls-cert-file={folder / 'apiserver.crt'}",
            f"--tls-private-key-file={folder / 'apiserver.key'}",
            f"--client-ca-file={self.ca_file}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'service-accounts.key'}",
            f"--service-account-signing-key-file={folder / 'service-accounts.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={folder / 'kubelet-client.crt'}",
            f"--kubelet-client-key={folder / 'kubelet-client.key'}",
        ]
        return [str(self.binaries.apiserver), *flags, *self._apiserver_args]

    def _controller_manager_command(self) -> list[str]:
        flags = [
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(self._running)}",
            "--leader-elect=false",
            "--secure-port=0",  # nobody asks it anything
            f"--service-account-private-key-file={self.directory / 'service-accounts.key'}",
            f"--root-ca-file={self.ca_file}",
            # Tests delete and create by the thousand; the default of 20 a second is for sharing a cluster.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]
        return [str(self.binaries.controller_manager), *flags]

    async def _wait_for_apiserver(self) -> None:
        await self._apiserver.wait_until("readiness", self._apiserver_is_ready, within=self._timeout)

    async def _etcd_is_healthy(self) -> bool:
        return await self._get(f"{self._etcd_url}/health") is not None

    async def _apiserver_is_ready(self) -> bool:
        return await self._get(f"{self.url}/readyz") is not None

    async def _pods_can_be_created(self) -> bool:
        found = await self._get(f"{self.url}/api/v1/namespaces/default/serviceaccounts/default")
        return found is not None

    async def _get(self, url: str) -> bytes | None:
        """The body of a response with status 200; None for any other response or if the request failed."""
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        headers = {"Authorization": f"Bearer {self.token}"}
        with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
            async with (
                aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(url, ssl=trust) as response,
            ):
                body = await response.read()
                return body if response.status == 200 else None
        return None
