"""Faults that users and administrators remove: each with its message, its remedy, and the recovery that follows.

``docs/reasons.md`` has a row for each reason; :mod:`test.integration.operator.test_remedies` executes these drills.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.controllers.volumes import DEFAULT_CLASS_ANNOTATION, STORAGE_CLASSES
from aimctl.devcluster.faults import Answer, Match
from aimctl.kubetypes.builtin import CONFIG_MAPS, PVCS, SECRETS, SERVICE_ACCOUNTS
from aimctl.simulation.catalogue import Catalogue, ImageEntry
from aimctl.simulation.machines import gpu_machine
from aimctl.simulation.registry import RegistryFault
from support.models import pull_secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.kubetypes import Resource
    from support.operator import World

__all__ = ["DRILLS", "Drill"]

STATIC = [{"name": "m", "sourceURI": "hf://m/m", "size": "16Gi"}]
PRIVATE = "registry.example/aim-private:1"
GATED = "hf://gated/model"
PULL_IMAGE = "registry.example/aim-private-downloader:1"
CATALOGUE = Catalogue.default().extended(
    downloads=[{"source": "hf://gated/*", "needs_token": True, "tokens": ["good"], "size_gb": 1}]
)


@dataclass(frozen=True)
class Drill:
    """One fault.

    Attributes:
        name: of the test.
        reason: of the condition.
        kind: of the object ``x`` in namespace ``team`` that has the condition.
        condition: its type.
        words: in the message.
        fault: creates the object and the fault.
        remedy: removes the fault as the message says.
        before: the state with the fault.
        after: the state without it.
        options: of the cluster.
    """

    name: str
    reason: str
    kind: Resource[Any]
    condition: str
    words: tuple[str, ...]
    fault: Callable[[World], Awaitable[None]]
    remedy: Callable[[World], Awaitable[None]]
    before: str = "Pending"
    after: str = "Ready"
    options: dict[str, Any] = field(default_factory=dict)


DRILLS: list[Drill] = []


def drill(
    reason: str,
    kind: Resource[Any],
    condition: str,
    *words: str,
    before: str = "Pending",
    after: str = "Ready",
    **options: Any,
) -> Callable[[Any], Any]:
    """Add a drill: the decorated generator creates the fault, yields, and removes it."""

    def add(steps: Any) -> Any:
        running: dict[int, Any] = {}

        async def fault(w: World) -> None:
            running[id(w)] = steps(w)
            await anext(running[id(w)])

        async def remedy(w: World) -> None:
            await anext(running.pop(id(w)), None)

        name = steps.__name__.replace("_", " ")
        DRILLS.append(Drill(name, reason, kind, condition, words, fault, remedy, before, after, options))
        return steps

    return add


# ---- what drills create


def key_of(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"name": "HF_TOKEN", "valueFrom": {kind: {"name": name, "key": "token"}}}]


async def secret(w: World, name: str, **data: str) -> None:
    body = {"metadata": {"name": name, "namespace": "team"}, "stringData": data}
    await w.client.apply(SECRETS, {"apiVersion": "v1", "kind": "Secret", **body})


async def model_cache(w: World, source: str = "hf://m/m", **spec: Any) -> None:
    await w.namespace("team")
    body = {
        "apiVersion": kinds.MODEL_CACHES.api_version,
        "kind": kinds.MODEL_CACHES.kind,
        "metadata": {"name": "x", "namespace": "team"},
        "spec": {"sourceURI": source, "size": "1Gi", **spec},
    }
    await w.client.apply(kinds.MODEL_CACHES, body)


async def storage_class(w: World, name: str) -> None:
    body = {"metadata": {"name": name}, "provisioner": "simulated.aimctl"}
    await w.client.create(STORAGE_CLASSES, body)


async def deployed(w: World) -> None:
    """A service whose template is Ready."""
    await w.model("m")
    await w.template("t", "team", modelSources=STATIC)
    await w.service("x", "team", model={"ref": "m"})


REJECTIONS = {
    "a quota": "exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0",
    "a LimitRange": "maximum memory usage per Container is 1Gi, but limit is 4Gi",
    "a policy": "ValidatingAdmissionPolicy 'images' with binding 'all' denied request: images of this registry are denied",
    "a security standard": 'violates PodSecurity "restricted:latest": unrestricted capabilities',
}
"""What admission plugins of Kubernetes say about a pod that they reject."""


class NoPods:
    """An admission plugin that allows no pods.

    Args:
        why: the end of the message.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def admit(self, kind: Any, new: Any, old: Any, subresource: str) -> None:
        if kind.resource.group_resource == "pods" and old is None:
            name = new["metadata"].get("name") or new["metadata"]["generateName"] + "x7f2k"
            raise statuses.status(403, "Forbidden", f'pods "{name}" is forbidden: {self._why}')


def rejects(w: World, resource: str, message: str) -> Callable[[], None]:
    """The API server rejects the creation of objects in the namespace; returns what ends that."""
    answer = Answer(403, "Forbidden", message)
    matches = [Match(verb, resource, namespace="team") for verb in ("create", "patch")]
    faults = [w.faults.add(answer, match) for match in matches]
    return lambda: [w.faults.remove(one) for one in faults] and None


# ---- templates

TEMPLATE, SERVICE, CACHE, MODEL = kinds.TEMPLATES, kinds.SERVICES, kinds.MODEL_CACHES, kinds.MODELS


@drill("ModelNotFound", TEMPLATE, "Discovered", "'late'", "create")
async def the_model_of_a_template_is_missing(w: World) -> Any:
    await w.template("x", "team", model="late")
    yield
    await w.model("late")


@drill("RuntimeConfigNotFound", TEMPLATE, "Discovered", "'late'", "create")
async def the_runtime_config_of_a_template_is_missing(w: World) -> Any:
    await w.model("m")
    await w.template("x", "team", runtimeConfigName="late")
    yield
    await w.config("late", "team")


@drill("GPUNotAvailable", TEMPLATE, "Ready", "MI300X", before="NotAvailable", machines=[])
async def no_node_has_the_gpu(w: World) -> Any:
    await w.model("m")
    await w.template("x", "team", gpuSelector={"count": 1, "model": "MI300X"})
    yield
    await w.cluster.node.add_machine(gpu_machine("n0"))


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "Secret 'hf'", "create it", before="Failed")
async def the_secret_of_a_template_is_missing(w: World) -> Any:
    await w.model("m")
    await w.template("x", "team", env=key_of("secretKeyRef", "hf"))
    yield
    await secret(w, "hf", token="t")


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "key token", "hf", before="Failed")
async def the_secret_of_a_template_lacks_the_key(w: World) -> Any:
    await w.model("m")
    await w.namespace("team")
    await secret(w, "hf", other="t")
    await w.template("x", "team", env=key_of("secretKeyRef", "hf"))
    yield
    await secret(w, "hf", token="t")


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "ConfigMap 'hf'", "create it", before="Failed")
async def the_config_map_of_a_template_is_missing(w: World) -> Any:
    await w.model("m")
    await w.template("x", "team", env=key_of("configMapKeyRef", "hf"))
    yield
    await w.client.create(CONFIG_MAPS, {"metadata": {"name": "hf"}, "data": {"token": "t"}}, "team")


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "Secret 'creds'", "create it", before="Failed")
async def the_pull_secret_of_a_template_is_missing(w: World) -> Any:
    await w.model("m", image=PRIVATE)
    await w.template("x", "team", imagePullSecrets=[{"name": "creds"}])
    yield
    await pull_secret(w, "creds", "team", "registry.example")


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "refused", "pull secret 'creds'", before="Failed")
async def the_pull_secret_of_a_template_is_of_another_registry(w: World) -> Any:
    await w.model("m", image=PRIVATE)
    await pull_secret(w, "creds", "team", "other.example")
    await w.template("x", "team", imagePullSecrets=[{"name": "creds"}])
    yield
    await pull_secret(w, "creds", "team", "registry.example")


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "'aim-m:1'", "spec.image", before="Failed")
async def the_image_of_a_model_does_not_exist(w: World) -> Any:
    w.simulation.faults["aim-m:1"] = ImageEntry(image="*", fail="image-not-found")
    await w.model("m")
    await w.template("x", "team")
    yield
    await w.model("m", image="aim-m:2")


@drill("AwaitingDiscovery", TEMPLATE, "Discovered", "ServiceAccount 'runner'", "create it")
async def the_service_account_of_a_template_is_missing(w: World) -> Any:
    await w.model("m")
    await w.template("x", "team", serviceAccountName="runner")
    yield
    await w.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "runner"}}, "team")


def _no_pod_for_discovery(what: str, why: str) -> None:
    async def steps(w: World) -> Any:
        w.cluster.server.admission.append(NoPods(why))
        await w.model("m")
        await w.template("x", "team")
        yield
        w.cluster.server.admission.pop()

    steps.__name__ = f"{what} allows no pod for discovery"
    drill(
        "AwaitingDiscovery",
        TEMPLATE,
        "Discovered",
        f"no pod was created for the discovery Job: {why[:40]}",
        events=True,
    )(steps)


for _what, _why in REJECTIONS.items():
    _no_pod_for_discovery(_what, _why)


@drill("AwaitingDiscovery", TEMPLATE, "Discovered", "exceeded quota: jobs")
async def a_quota_allows_no_job_for_discovery(w: World) -> Any:
    end = rejects(w, "jobs", "exceeded quota: jobs")
    await w.model("m")
    await w.template("x", "team")
    yield
    end()


def crashing(*lines: str) -> ImageEntry:
    return ImageEntry(image="*", fail="crash", stdout="\n".join(lines))


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "403", "gated", before="Failed")
async def the_hub_denies_discovery_access(w: World) -> Any:
    w.simulation.faults["aim-m:1"] = crashing(
        "GatedRepoError: 403 Client Error. Access to gated/m is restricted"
    )
    await w.model("m")
    await w.template("x", "team")
    yield
    w.simulation.faults.clear()


@drill("DiscoveryFailed", TEMPLATE, "Discovered", "503", before="Failed")
async def the_hub_is_unavailable_for_discovery(w: World) -> Any:
    w.simulation.faults["aim-m:1"] = crashing("HfHubHTTPError: 503 Server Error: Service Unavailable")
    await w.model("m")
    await w.template("x", "team")
    yield
    w.simulation.faults.clear()


# ---- model caches


def cached(reason: str, *words: str, before: str = "Failed", condition: str = "Ready", **options: Any) -> Any:
    return drill(reason, CACHE, condition, *words, before=before, after="Available", **options)


@cached("StorageClassNotFound", "'late'", "create", before="Pending")
async def the_storage_class_is_missing(w: World) -> Any:
    await model_cache(w, storageClassName="late")
    yield
    await storage_class(w, "late")


@cached("NoDefaultStorageClass", "default", before="Pending", storage_class="")
async def there_is_no_default_storage_class(w: World) -> Any:
    await storage_class(w, "plain")
    await model_cache(w)
    yield
    patch = {"metadata": {"annotations": {DEFAULT_CLASS_ANNOTATION: "true"}}}
    await w.client.patch(STORAGE_CLASSES, "plain", patch)


@cached("RuntimeConfigNotFound", "'late'", "create", before="Pending")
async def the_runtime_config_of_a_cache_is_missing(w: World) -> Any:
    await model_cache(w, runtimeConfigName="late")
    yield
    await w.config("late", "team")


@cached("VolumeRefused", "requests.storage", before="Pending")
async def a_quota_allows_no_volume(w: World) -> Any:
    end = rejects(w, "persistentvolumeclaims", "exceeded quota: requests.storage")
    await model_cache(w)
    yield
    end()


@cached("DownloadRefused", "exceeded quota: jobs", before="Pending")
async def a_quota_allows_no_download_job(w: World) -> Any:
    end = rejects(w, "jobs", "exceeded quota: jobs")
    await model_cache(w)
    yield
    end()


def _no_pod_for_download(what: str, why: str) -> None:
    async def steps(w: World) -> Any:
        w.cluster.server.admission.append(NoPods(why))
        await model_cache(w)
        yield
        w.cluster.server.admission.pop()

    steps.__name__ = f"{what} allows no pod for a download"
    cached("NoPod", f"no pod was created: {why[:40]}", before="Progressing", events=True)(steps)


for _what, _why in REJECTIONS.items():
    _no_pod_for_download(_what, _why)


@cached("NameTaken", "'x'", "Delete it")
async def another_claim_has_the_name_of_the_cache(w: World) -> Any:
    await w.namespace("team")
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    await w.client.create(PVCS, {"metadata": {"name": "x"}, "spec": spec}, "team")
    await model_cache(w)
    yield
    await w.client.delete(PVCS, "x", "team")


@cached("ContainerSetupFailed", "Secret 'hf'", "create it")
async def the_secret_of_a_download_is_missing(w: World) -> Any:
    await model_cache(w, env=key_of("secretKeyRef", "hf"))
    yield
    await secret(w, "hf", token="t")


@cached("ContainerSetupFailed", "key token", "hf")
async def the_secret_of_a_download_lacks_the_key(w: World) -> Any:
    await w.namespace("team")
    await secret(w, "hf", other="t")
    await model_cache(w, env=key_of("secretKeyRef", "hf"))
    yield
    await secret(w, "hf", token="t")


@cached("ImagePullFailed", "Secret 'creds'", "create it")
async def the_pull_secret_of_a_download_is_missing(w: World) -> Any:
    w.simulation.faults[PULL_IMAGE] = ImageEntry(image="*", needs_pull_secret=True, fail="pull-refused")
    await model_cache(w, modelDownloadImage=PULL_IMAGE, imagePullSecrets=[{"name": "creds"}])
    yield
    await pull_secret(w, "creds", "team", "registry.example")
    w.simulation.faults[PULL_IMAGE] = ImageEntry(image="*", needs_pull_secret=True)


@cached("AccessDenied", "HF_TOKEN", "'hf'", catalogue=CATALOGUE)
async def the_token_of_a_download_is_wrong(w: World) -> Any:
    await w.namespace("team")
    await secret(w, "hf", token="bad")
    await model_cache(w, GATED, env=key_of("secretKeyRef", "hf"))
    yield
    await secret(w, "hf", token="good")


@cached("AccessDenied", GATED, catalogue=CATALOGUE)
async def the_hub_has_not_granted_access_yet(w: World) -> Any:
    await w.namespace("team")
    await secret(w, "hf", token="new")
    await model_cache(w, GATED, env=key_of("secretKeyRef", "hf"))
    yield
    w.simulation.downloads.granted = True


@cached("SourceUnavailable", "tried again")
async def the_hub_is_unavailable_for_a_download(w: World) -> Any:
    w.simulation.downloads.outage = "unavailable"
    await model_cache(w)
    yield
    w.simulation.downloads.outage = None


@cached("RateLimited", "tried again")
async def the_hub_limits_the_rate_of_downloads(w: World) -> Any:
    w.simulation.downloads.outage = "rate-limited"
    await model_cache(w)
    yield
    w.simulation.downloads.outage = None


# ---- services


def served(
    reason: str, *words: str, before: str = "Starting", condition: str = "Ready", **options: Any
) -> Any:
    options = {"kserve": True, **options}
    return drill(reason, SERVICE, condition, *words, before=before, after="Running", **options)


@served("ModelNotFound", "'m'", "create", before="Pending")
async def the_model_of_a_service_is_missing(w: World) -> Any:
    await w.service("x", "team", model={"ref": "m"})
    yield
    await w.model("m")
    await w.template("t", "team", modelSources=STATIC)


@served("RuntimeConfigNotFound", "'late'", "create", before="Pending")
async def the_runtime_config_of_a_service_is_missing(w: World) -> Any:
    await deployed(w)
    await w.service("x", "team", model={"ref": "m"}, runtimeConfigName="late")
    yield
    await w.config("late", "team")


@served("TemplateNotFound", "'late'", "create", before="Pending")
async def the_template_of_a_service_is_missing(w: World) -> Any:
    await w.model("m")
    await w.service("x", "team", model={"ref": "m"}, templateRef="late")
    yield
    await w.template("late", "team", modelSources=STATIC)


@served("TemplateSelectionAmbiguous", "spec.templateRef", before="Failed")
async def several_templates_match(w: World) -> Any:
    await w.template("t2", "team", modelSources=STATIC)
    await deployed(w)
    yield
    await w.service("x", "team", model={"ref": "m"}, templateRef="t2")


@served("RuntimeNotInstalled", "install KServe", kserve=False)
async def kserve_is_not_installed(w: World) -> Any:
    await deployed(w)
    yield
    await w.install_kserve()


@served("RuntimeRefused", "exceeded quota", before="Failed")
async def a_quota_allows_no_inference_service(w: World) -> Any:
    end = rejects(w, "inferenceservices", "exceeded quota: inferenceservices")
    await deployed(w)
    yield
    end()


@served("NameTaken", "'x'", "delete it", before="Failed")
async def another_inference_service_has_the_name(w: World) -> Any:
    await w.namespace("team")
    spec = {"predictor": {"containers": [{"name": "kserve-container", "image": "aim-m:1"}]}}
    await w.client.create(kinds.INFERENCE_SERVICES, {"metadata": {"name": "x"}, "spec": spec}, "team")
    await deployed(w)
    yield
    await w.client.delete(kinds.INFERENCE_SERVICES, "x", "team")


@served("CacheNameTaken", "delete it")
async def another_cache_has_the_name_of_the_template(w: World) -> Any:
    await deployed(w)
    body = {"metadata": {"name": "t"}, "spec": {"templateRef": "other"}}
    await w.client.create(kinds.TEMPLATE_CACHES, body, "team")
    await w.service("x", "team", model={"ref": "m"}, cacheModel=True)
    yield
    await w.client.delete(kinds.TEMPLATE_CACHES, "t", "team")


# ---- template caches


@drill("TemplateNotFound", kinds.TEMPLATE_CACHES, "Ready", "'late'", "create", after="Available")
async def the_template_of_a_cache_is_missing(w: World) -> Any:
    await w.model("m")
    await w.namespace("team")
    await w.client.create(
        kinds.TEMPLATE_CACHES, {"metadata": {"name": "x"}, "spec": {"templateRef": "late"}}, "team"
    )
    yield
    await w.template("late", "team", modelSources=[{**STATIC[0], "size": "1Gi"}])


# ---- models


def read(reason: str, *words: str, **options: Any) -> Any:
    return drill(reason, MODEL, "MetadataExtracted", *words, before="Failed", **options)


@read("PullSecretNotFound", "'creds'", "create it")
async def the_pull_secret_of_a_model_is_missing(w: World) -> Any:
    await w.namespace("team")
    await w.model("x", "team", image=PRIVATE, imagePullSecrets=[{"name": "creds"}])
    yield
    await pull_secret(w, "creds", "team", "registry.example")


@read("AccessDenied", "pull secret")
async def the_pull_secret_of_a_model_is_of_another_registry(w: World) -> Any:
    await pull_secret(w, "creds", "team", "other.example")
    await w.model("x", "team", image=PRIVATE, imagePullSecrets=[{"name": "creds"}])
    yield
    await pull_secret(w, "creds", "team", "registry.example")


@read("RegistryUnreachable", "registry")
async def the_registry_of_a_model_is_down(w: World) -> Any:
    w.simulation.registry.faults.append(RegistryFault(status=0))
    await w.namespace("team")
    await w.model("x", "team")
    yield
    w.simulation.registry.faults.clear()
