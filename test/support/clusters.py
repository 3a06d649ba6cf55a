"""The clusters that the end-to-end tests run on: the embedded one, or a real one.

    AIMCTL_TEST_SERVER=embedded (default)   the embedded cluster, served over HTTP
    AIMCTL_TEST_SERVER=real                 etcd, kube-apiserver and kube-controller-manager, started by the tests
    AIMCTL_TEST_KUBECONFIG=path             any other cluster; simulated nodes are added to it. Its API server must be
                                            able to connect to 127.0.0.1 of this machine, for pod logs. The tests
                                            delete objects: do not use a cluster that is needed.

Managers are started with ``manager_kubeconfig``. On a real server it has the token of the manager's service account with
the generated roles, and ``support.audit`` can check its requests.

Each cluster has simulated nodes, which run download Jobs too, and a simulated registry at ``registry_url``, which a
manager started with ``manager_flags`` uses in place of all registries. Clusters that the tests start also have
simulated volumes and a simulated KServe. The cluster runs in its own thread with its own event loop, so that it keeps
running while a test blocks. All public methods may be called from the test's thread. ``api`` and ``custom`` are clients
of the official ``kubernetes`` package, which shares no code with the operator.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import kubernetes
import yaml

from aimctl.api.kinds import KINDS
from aimctl.controllers.manifests import manifests
from aimctl.devcluster.faults import Match, Refuse
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig
from aimctl.runtime.kube.http import HttpTransport
from aimctl.simulation import RegistryFront, inference_service_crd
from support.aim_cluster import aim_cluster
from support.audit import audit_flags
from support.controlplane import ControlPlane
from support.documents import load_yaml
from support.kubectl import Kubectl
from support.simulation import simulation
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aimctl.devcluster import DevCluster

__all__ = ["API_VERSION", "OPERATOR_NAMESPACE", "RunningCluster", "server_kind"]

API_VERSION = "aim.silogen.ai/v1alpha1"
OPERATOR_NAMESPACE = "kaiwo-system"
_APPLY = ("apply", "-f", "-")
_ENFORCE_OWNERS = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"
"""Off by default. With it, the manager needs its permissions on ``finalizers``."""

PACE = 0.3
"""Factor for the durations of simulated containers. With this value a discovery takes about half a second."""

Document = dict[str, Any]


def server_kind() -> str:
    """The kind of server that the environment variables select: embedded, real or kubeconfig."""
    if os.environ.get("AIMCTL_TEST_KUBECONFIG"):
        return "kubeconfig"
    kind = os.environ.get("AIMCTL_TEST_SERVER", "embedded")
    if kind not in {"embedded", "real"}:
        raise ValueError(f"AIMCTL_TEST_SERVER={kind!r}: use embedded or real")
    return kind


def crd_manifests() -> str:
    """The CRDs of the operator, as YAML documents."""
    return _manifests("crd/")


def _manifests(folder: str) -> str:
    return "---\n".join(text for name, text in manifests().items() if name.startswith(folder))


class RunningCluster:
    """A running cluster, as a context manager. The module describes what it offers.

    Args:
        kind: of :func:`server_kind`.
        directory: for the files of this cluster.
        kserve_crds: the CRDs of a KServe that the test runs; without them, KServe is simulated. Only for a real server.
        installed: whether the CRDs and the manager's account exist. Only for a real server that the tests start.
    """

    def __init__(self, kind: str, directory: Path, *, kserve_crds: str = "", installed: bool = True) -> None:
        self.kind = kind
        self._installed = installed
        self._kserve_crds = kserve_crds
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self.manager_kubeconfig = self.kubeconfig
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cluster", daemon=True)
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._main: Any = None
        self._dev: DevCluster | None = None
        self._plane: ControlPlane | None = None
        self.registry: Any = None
        self.registry_url = ""
        self._volumes: Any = None
        self._names = itertools.count(1)
        self._namespaces: list[str] = []

    # ---- life cycle

    def __enter__(self) -> Self:
        self._thread.start()
        self._main = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        while not self._up.wait(0.05):
            if self._main.done():
                self._main.result()
        self.kubectl = Kubectl(self.kubeconfig, self.directory / "kubectl-cache")
        self.api = kubernetes.config.new_client_from_config(str(self.kubeconfig))
        self.custom = kubernetes.client.CustomObjectsApi(self.api)
        info = kubernetes.client.VersionApi(self.api).get_code()
        self.version = (int(info.major), int(info.minor.rstrip("+")))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        try:
            self._main.result(60)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            if self.kind == "embedded":
                await self._start_embedded(stack)
            else:
                await self._start_real(stack)
            self._up.set()
            await self._stop.wait()

    async def _start_embedded(self, stack: AsyncExitStack) -> None:
        cluster, simulation = aim_cluster(clock=LoopClock(), pace=PACE, kserve=True)
        self._dev = await stack.enter_async_context(cluster)
        await self._dev.serve()
        self.registry, self._volumes = simulation.registry, cluster.volumes
        front = await stack.enter_async_context(RegistryFront(simulation.registry))
        self.registry_url = front.endpoint.url
        self._dev.write_kubeconfig(self.kubeconfig)

    async def _start_real(self, stack: AsyncExitStack) -> None:
        if self.kind == "real":
            folder = self.directory / "plane"
            folder.mkdir()
            flags = (*audit_flags(self.directory), _ENFORCE_OWNERS)
            # The tests of KServe's manager write the statuses of its Deployments themselves.
            without = ("deployment-controller", "replicaset-controller") if self._kserve_crds else ()
            self._plane = await stack.enter_async_context(
                ControlPlane(directory=folder, apiserver_args=flags, without=without)
            )
            source = self._plane.kubeconfig
        else:
            source = Path(os.environ["AIMCTL_TEST_KUBECONFIG"])
        self.kubeconfig.write_text(source.read_text())
        kubectl = Kubectl(self.kubeconfig, self.directory / "kubectl-cache")
        if self._installed:
            await asyncio.to_thread(kubectl, *_APPLY, stdin=crd_manifests())
        if self._plane is not None:
            kserve_crds = self._kserve_crds or yaml.safe_dump(inference_service_crd())
            await asyncio.to_thread(kubectl, *_APPLY, "--server-side", stdin=kserve_crds)
        # kubectl fails for a CRD without any condition, which is one that the API server has not seen yet.
        wait = ("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        await asyncio.to_thread(
            eventually, lambda: kubectl.run(*wait).returncode == 0, 60, "all CRDs are established"
        )
        if self._installed:
            await asyncio.to_thread(self._create_account, kubectl)
        if self._plane is not None:
            # The real garbage collector discovers new kinds only every 30 seconds.
            await self._plane.restart_controller_manager()
        clock = LoopClock()
        info = await from_kubeconfig(str(self.kubeconfig), clock=clock)
        transport = await stack.enter_async_context(HttpTransport(info, clock=clock, user_agent="kubelet"))
        client = Client(transport, clock=clock, field_manager="kubelet")
        # A cluster that the tests did not start may have its own volumes and KServe.
        own = self._plane is not None
        simulated = await stack.enter_async_context(
            simulation(client, clock=clock, pace=PACE, kserve=own and not self._kserve_crds, storage=own)
        )
        self.registry, self.registry_url = simulated.registry, simulated.registry_url
        self._volumes = simulated.volumes if own else None

    def _create_account(self, kubectl: Kubectl) -> None:
        """Create the account of the manager with its roles, and write its kubeconfig."""
        kubectl(*_APPLY, stdin=_manifests("rbac/"))
        token = kubectl("create", "token", "aimctl-manager", "-n", OPERATOR_NAMESPACE, "--duration=8h")
        config = load_yaml(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "yaml"))
        (context,) = config["contexts"]
        (user,) = config["users"] = [{"name": "aimctl-manager", "user": {"token": token.strip()}}]
        context["context"]["user"] = user["name"]
        self.manager_kubeconfig = self.directory / "manager.kubeconfig"
        self.manager_kubeconfig.touch(mode=0o600)
        self.manager_kubeconfig.write_text(yaml.safe_dump(config))

    @property
    def manager_flags(self) -> tuple[str, ...]:
        """The command-line flags for a manager that runs against this cluster."""
        return ("--registry-mirror", f"*={self.registry_url}")

    def learn_kinds(self) -> None:
        """Make the real garbage collector discover kinds at once, which it does every 30 seconds otherwise."""
        if self._plane is not None:
            self._call(self._plane.restart_controller_manager)

    # ---- faults

    @contextmanager
    def away(self) -> Iterator[None]:
        """Make the API server unavailable within the context: it refuses connections and ends streams. Data is kept."""
        if self._dev is not None:
            faults = self._dev.faults
            fault = self._call(self._add_refusal)
            try:
                yield
            finally:
                self._loop.call_soon_threadsafe(faults.remove, fault)
        elif self._plane is not None:
            self._call(self._plane.kill_apiserver)
            try:
                yield
            finally:
                self._call(self._plane.restart_apiserver)
        else:
            raise RuntimeError("a cluster from AIMCTL_TEST_KUBECONFIG cannot be stopped: skip this test")

    def lose_volume(self, namespace: str, claim: str) -> None:
        """Lose the volume of a claim, with its data. Only on clusters that the tests started."""
        assert self._volumes is not None, "a cluster from AIMCTL_TEST_KUBECONFIG has its own volumes"
        self._call(lambda: self._volumes.lose(claim, namespace))

    async def _add_refusal(self) -> Any:
        assert self._dev is not None
        return self._dev.faults.add(Refuse(), Match())

    def _call(self, function: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result(60)

    # ---- documents

    def new_namespace(self, stem: str) -> str:
        """Create a namespace with a name that no other test uses."""
        name = f"{stem}-{os.getpid()}-{next(self._names)}"
        kubernetes.client.CoreV1Api(self.api).create_namespace({"metadata": {"name": name}})
        self._namespaces.append(name)
        return name

    @staticmethod
    def image(name: str) -> str:
        """The reference of an image of the simulation's catalogue, such as ``quick``, which succeeds."""
        return f"registry.test/{name if ':' in name else f'aim-{name}:1'}"

    @staticmethod
    def model(name: str, image: str, *, namespace: str = "") -> Document:
        """An AIMModel, or an AIMClusterModel without a namespace."""
        return _document("AIMModel" if namespace else "AIMClusterModel", name, namespace, {"image": image})

    @staticmethod
    def template(
        namespace: str,
        name: str,
        *,
        model: str,
        metric: str | None = "latency",
        precision: str | None = "fp16",
        gpu: Document | None = None,
        **spec: Any,
    ) -> Document:
        """An AIMServiceTemplate, or an AIMClusterServiceTemplate without a namespace."""
        fields = {"modelName": model, "metric": metric, "precision": precision, "gpuSelector": gpu, **spec}
        fields = {key: value for key, value in fields.items() if value is not None}
        return _document(
            "AIMServiceTemplate" if namespace else "AIMClusterServiceTemplate", name, namespace, fields
        )

    def create_template(
        self,
        kind: str,
        name: str,
        *,
        metric: str | None = "latency",
        precision: str | None = "fp16",
        gpu: Document | None = None,
    ) -> tuple[str, list[str]]:
        """Create a template of either scope. Returns its resource name and the namespace flags for kubectl."""
        namespace = self.new_namespace("one") if kind == "AIMServiceTemplate" else ""
        self.apply(
            [self.template(namespace, name, model="some-model", metric=metric, precision=precision, gpu=gpu)]
        )
        return kind.lower(), ["-n", namespace] if namespace else []

    def apply(self, documents: Iterable[Document]) -> None:
        """Apply the documents with ``kubectl apply --server-side``."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(items), timeout=120)

    # ---- reading

    def templates(self) -> Sequence[Document]:
        """All templates of both scopes, as the server returns them."""
        return [
            item
            for plural in ("aimservicetemplates", "aimclusterservicetemplates")
            for item in self.custom.list_cluster_custom_object("aim.silogen.ai", "v1alpha1", plural)["items"]
        ]

    def objects(self) -> Iterator[Document]:
        """All objects of AIM kinds, as the server returns them."""
        for kind in KINDS:
            group = ("aim.silogen.ai", "v1alpha1")
            for item in self.custom.list_cluster_custom_object(*group, kind.plural)["items"]:
                yield {"kind": kind.name, **item}

    def template_states(self, prefix: str = "") -> dict[str, str]:
        """State by ``namespace/name``, for the templates whose names start with ``prefix``."""
        return {
            f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}": item.get("status", {}).get(
                "status", ""
            )
            for item in self.templates()
            if item["metadata"]["name"].startswith(prefix)
        }

    def template_status(self, namespace: str, name: str, *, until: str = "") -> Document:
        """The status of one template. Empty while its state is not ``until``, if that is given."""
        if namespace:
            found = self.custom.get_namespaced_custom_object(
                "aim.silogen.ai", "v1alpha1", namespace, "aimservicetemplates", name
            )
        else:
            found = self.custom.get_cluster_custom_object(
                "aim.silogen.ai", "v1alpha1", "aimclusterservicetemplates", name
            )
        status: Document = found.get("status", {})
        return {} if until and status.get("status") != until else status

    # ---- cleaning up

    def clean(self) -> None:
        """Delete the test's objects. Waits until no discovery Jobs are left, because the next test may count them."""
        for kind in KINDS:
            group = ("aim.silogen.ai", "v1alpha1")
            found = self.custom.list_cluster_custom_object(*group, kind.plural)["items"]
            if not kind.namespaced and found:
                self.custom.delete_collection_cluster_custom_object(*group, kind.plural)
            for namespace in {item["metadata"]["namespace"] for item in found if kind.namespaced}:
                self.custom.delete_collection_namespaced_custom_object(*group, namespace, kind.plural)
        batch = kubernetes.client.BatchV1Api(self.api)
        selector = "aim.silogen.ai/template"
        eventually(
            lambda: not batch.list_job_for_all_namespaces(label_selector=selector).items,
            60,
            "deletion of the last test's discovery Jobs",
        )
        if self._namespaces:
            self.kubectl("delete", "namespace", *self._namespaces, "--wait=false", "--ignore-not-found")
            self._namespaces.clear()


def _document(kind: str, name: str, namespace: str, spec: Document) -> Document:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
