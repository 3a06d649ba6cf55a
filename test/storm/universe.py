"""The names, images, sources and machines of the storm, and random specs.

60 objects in 8 namespaces and in the cluster: models, runtime configs, templates, services and template caches. The
names are fixed, so that users edit, delete and create the same objects again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aimctl.api import kinds
from aimctl.api.v1alpha1.caches import DEFAULT_DOWNLOAD_IMAGE
from aimctl.devcluster.controllers.volumes import DEFAULT_CLASS_ANNOTATION
from aimctl.devcluster.node.machines import Machine
from aimctl.simulation.catalogue import Catalogue
from aimctl.simulation.machines import gpu_machine

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from aimctl.runtime import Resource

__all__ = [
    "AUTO_MODEL",
    "BAD_IMAGE",
    "BAD_SOURCE",
    "CLASSES",
    "CLUSTER_NAMES",
    "DEVICES",
    "GPU_NODES",
    "IMAGES",
    "NAMESPACES",
    "PULLED",
    "SIZES",
    "Slot",
    "catalogue",
    "machines",
    "slots",
]

NAMESPACES = tuple(f"n{number}" for number in range(8))
DEVICES = {"74a1": "MI300X", "74a5": "MI325X"}
"""The device ids that the nodes of the storm have, and the models."""

GPU_NODES = ("gpu-0", "gpu-1", "gpu-2")
IMAGES = ("aim-one:1", "aim-two:1", "aim-three:1")
BAD_IMAGE = "aim-crashing:1"
AUTO_MODEL, AUTO_IMAGE = "auto", "ghcr.io/org/aim-auto:1"
PULLED = [*IMAGES, AUTO_IMAGE, DEFAULT_DOWNLOAD_IMAGE]
"""The images of which nodes may be unable to pull some for a while."""

CLASSES: dict[str, dict[str, Any]] = {
    "standard": {
        "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS_ANNOTATION: "true"}},
        "provisioner": "simulated.aimctl",
    },
    "fast": {"metadata": {"name": "fast"}, "provisioner": "simulated.aimctl"},
}
"""The storage classes. The cluster has the first one from the start."""

BAD_SOURCE = "hf://org/gone"
SIZES = {f"hf://org/{name}": size for name, size in (("one", 4), ("two", 20), ("three", 60), ("four", 8))}
"""The downloadable sources and their sizes in GiB, at 0.5 GiB per second."""

CLUSTER_NAMES = ("c0", "c1", "c2", "t0")
_MODELS = ("m0", "m1", "m2")


class Slot(NamedTuple):
    """A name that an object may have.

    Attributes:
        kind: of the object.
        namespace: "" for cluster-scoped objects.
        name: of the object.
        spec: makes a random spec.
        frozen: the fields of the spec that cannot be changed.
    """

    kind: Resource[Any]
    namespace: str
    name: str
    spec: Callable[[random.Random], dict[str, Any]]
    frozen: tuple[str, ...] = ()


def catalogue() -> Catalogue:
    """What the images and the sources of the storm do."""
    images: list[dict[str, Any]] = [
        {
            "image": image,
            "discover": {
                "model": f"org/{name}",
                "models": [
                    {"name": name, "source": f"hf://org/{name}", "size_gb": SIZES[f"hf://org/{name}"]}
                ],
            },
        }
        for image, name in zip(IMAGES, ("one", "two", "three"), strict=True)
    ]
    images += [
        {
            "image": "*aim-auto:1",
            "discover": {
                "model": "org/one",
                "models": [{"name": "one", "source": "hf://org/one", "size_gb": SIZES["hf://org/one"]}],
            },
            "recommended_deployments": [
                {"gpu_count": 1, "precision": "fp16", "metric": "latency"},
                {"gpu_count": 2, "precision": "fp8", "metric": "throughput"},
            ],
        },
        {"image": BAD_IMAGE, "fail": "crash", "exit_code": 3, "log_before": ["RuntimeError: no profile"]},
    ]
    downloads = [
        {"source": source, "size_gb": size, "gb_per_second": 0.5, "fail_first": int(size == 20)}
        for source, size in SIZES.items()
    ]
    downloads.append({"source": BAD_SOURCE, "fail": "not-found"})
    return Catalogue.of({"images": images, "downloads": downloads})


def machines() -> list[Machine]:
    """A machine without GPUs that is always there, and three with GPUs."""
    return [
        Machine("plain"),
        gpu_machine("gpu-0", "MI300X"),
        gpu_machine("gpu-1", "MI300X", 4),
        gpu_machine("gpu-2", "MI325X"),
    ]


def slots() -> list[Slot]:
    """All names, in the order in which they are created at first."""
    found = [Slot(kinds.CLUSTER_RUNTIME_CONFIGS, "", "default", _config)]
    found += [Slot(kinds.RUNTIME_CONFIGS, namespace, "gold", _config) for namespace in NAMESPACES[:3]]
    found += [Slot(kinds.CLUSTER_MODELS, "", name, _model) for name in _MODELS]
    found.append(Slot(kinds.CLUSTER_MODELS, "", AUTO_MODEL, lambda _: {"image": AUTO_IMAGE}))
    found += [Slot(kinds.MODELS, namespace, "m0", _model) for namespace in NAMESPACES[:4]]
    profile = ("modelName", "metric", "gpuSelector")
    found += [Slot(kinds.CLUSTER_TEMPLATES, "", name, _cluster_template, profile) for name in CLUSTER_NAMES]
    found += [
        Slot(kinds.TEMPLATES, namespace, f"t{number}", _template, profile)
        for namespace in NAMESPACES
        for number in range(3)
    ]
    found += [
        Slot(kinds.SERVICES, namespace, f"s{number}", _service)
        for namespace in NAMESPACES
        for number in range(2)
    ]
    found += [
        Slot(kinds.TEMPLATE_CACHES, namespace, "k", _template_cache, ("templateRef",))
        for namespace in NAMESPACES[:4]
    ]
    return found


def _config(rng: random.Random) -> dict[str, Any]:
    storage = {"defaultStorageClassName": "fast"} if rng.random() < 0.3 else {}
    return {"pvcHeadroomPercent": rng.choice([10, 20]), "env": _env(rng), **storage}


def _model(rng: random.Random) -> dict[str, Any]:
    return {"image": rng.choice([*IMAGES * 2, BAD_IMAGE]), "discovery": {"enabled": False}}


def _cluster_template(rng: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {"modelName": rng.choice(_MODELS), "metric": rng.choice(["latency", "throughput"])}
    gpu = rng.choice(
        [
            None,
            None,
            {"count": 1, "model": "MI300X"},
            {"count": 8, "model": "MI300X"},
            {"count": 1, "model": "MI325X"},
        ]
    )
    if gpu:
        spec["gpuSelector"] = gpu
    if rng.random() < 0.3:
        source = rng.choice([*SIZES, BAD_SOURCE])
        spec["modelSources"] = [{"name": "m", "sourceURI": source, "size": f"{SIZES.get(source, 1)}Gi"}]
    if rng.random() < 0.15:
        spec["runtimeConfigName"] = "gold"
    return spec


def _template(rng: random.Random) -> dict[str, Any]:
    spec = _cluster_template(rng)
    if rng.random() < 0.3:
        spec["caching"] = {"enabled": True}
    if rng.random() < 0.5:
        spec["env"] = _env(rng)
    return spec


def _service(rng: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {"model": {"ref": rng.choice(_MODELS)}}
    if rng.random() < 0.6:
        spec["templateRef"] = rng.choice(["t0", "t1", "t2", "c0", "c1", "c2"])
        if rng.random() < 0.4:
            spec["overrides"] = {"metric": rng.choice(["latency", "throughput"])}
    if rng.random() < 0.3:
        spec["cacheModel"] = True
    return spec


def _template_cache(rng: random.Random) -> dict[str, Any]:
    return {"templateRef": rng.choice(["c0", "c1", "c2"])}


def _env(rng: random.Random) -> list[dict[str, str]]:
    return [{"name": "VARIANT", "value": str(rng.randrange(3))}]
