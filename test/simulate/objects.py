"""The objects of the simulated scenario: a few names, and random specs for them.

Images, sources and machines are those of the storm, so its model of the rules applies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from storm.universe import AUTO_IMAGE, AUTO_MODEL, BAD_IMAGE, BAD_SOURCE, IMAGES, SIZES, Slot

if TYPE_CHECKING:
    import random

__all__ = ["NAMESPACES", "chosen_slots"]

NAMESPACES = ("n0", "n1")
_PROFILE = ("modelName", "metric", "gpuSelector")
_SOURCES = ("hf://org/one", "hf://org/four", "hf://org/two")


def chosen_slots(rng: random.Random) -> list[Slot]:
    """The names of one run, in the order in which they are created."""
    optional = _optional()
    chosen = set(rng.sample(range(len(optional)), rng.randint(1, 3)))
    return [
        Slot(kinds.CLUSTER_MODELS, "", "m0", _model),
        Slot(kinds.TEMPLATES, "n0", "t0", _template, _PROFILE),
        *(slot for number, slot in enumerate(optional) if number in chosen),
    ]


def _optional() -> list[Slot]:
    return [
        Slot(kinds.CLUSTER_RUNTIME_CONFIGS, "", "default", _config),
        Slot(kinds.MODELS, "n0", "m0", _model),
        Slot(kinds.CLUSTER_MODELS, "", AUTO_MODEL, lambda _: {"image": AUTO_IMAGE}),
        Slot(kinds.CLUSTER_TEMPLATES, "", "c0", _cluster_template, _PROFILE),
        Slot(kinds.CLUSTER_TEMPLATES, "", "t0", _cluster_template, _PROFILE),
        Slot(kinds.TEMPLATES, "n0", "t1", _template, _PROFILE),
        Slot(kinds.TEMPLATES, "n1", "t0", _template, _PROFILE),
        Slot(kinds.SERVICES, "n0", "s0", _service),
        Slot(kinds.SERVICES, "n0", "s1", _service),
        Slot(kinds.SERVICES, "n1", "s0", _service),
        Slot(kinds.TEMPLATE_CACHES, "n0", "k", lambda _: {"templateRef": "t0"}, ("templateRef",)),
    ]


def _config(rng: random.Random) -> dict[str, Any]:
    return {"pvcHeadroomPercent": rng.choice([10, 20]), "env": _env(rng)}


def _model(rng: random.Random) -> dict[str, Any]:
    images = [*IMAGES[:2] * 3, BAD_IMAGE]
    return {"image": rng.choice(images), "discovery": {"enabled": rng.random() < 0.3}}


def _cluster_template(rng: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {"modelName": "m0", "metric": rng.choice(["latency", "throughput"])}
    gpu = rng.choice([None, None, {"count": 1, "model": "MI300X"}, {"count": 1, "model": "MI325X"}])
    if gpu:
        spec["gpuSelector"] = gpu
    if rng.random() < 0.25:
        source = rng.choice([*_SOURCES, BAD_SOURCE])
        spec["modelSources"] = [{"name": "m", "sourceURI": source, "size": f"{SIZES.get(source, 1)}Gi"}]
    return spec


def _template(rng: random.Random) -> dict[str, Any]:
    spec = _cluster_template(rng)
    if rng.random() < 0.35:
        spec["caching"] = {"enabled": True}
    if rng.random() < 0.4:
        spec["env"] = _env(rng)
    return spec


def _service(rng: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {"model": {"ref": "m0"}}
    if rng.random() < 0.7:
        spec["templateRef"] = rng.choice(["t0", "t0", "t1", "c0"])
        if rng.random() < 0.6:
            spec["overrides"] = {"metric": rng.choice(["latency", "throughput"])}
    if rng.random() < 0.3:
        spec["cacheModel"] = True
    return spec


def _env(rng: random.Random) -> list[dict[str, str]]:
    return [{"name": "VARIANT", "value": str(rng.randrange(3))}]
