"""After random changes, services are in the state that a restarted manager would decide: no event is missed.

A new process reconciles every object. If it has nothing to write, the events were enough for the old one.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.kubetypes.builtin import NODES
from aimctl.runtime.kube.errors import ApiError
from aimctl.simulation.kserve import OUTCOME_ANNOTATION
from aimctl.simulation.machines import gpu_machine
from aimctl.testing.virtualtime import run_virtual
from support.proofs import seeds
from support.service_witness import STATIC, serving

TEAMS = ("team", "other")
IMAGES = ("aim-one:1", "aim-two:1")
QUIET = {"enabled": False}


class Storm:
    """Random actions of users, determined by a seed."""

    def __init__(self, w, rng):
        self.w, self.rng = w, rng
        self.labels = {}

    async def act(self):
        acts = [self.service] * 4 + [self.template] * 4 + [self.model] * 2
        acts += [self.gpu, self.config, self.runtime, self.remove, self.remove, self.remove]
        with suppress(ApiError):  # the object does not exist, or the schema rejects the change
            await self.rng.choice(acts)()

    def place(self):
        return self.rng.choice((*TEAMS, ""))

    async def service(self):
        rng = self.rng
        model = rng.choice([{"ref": rng.choice("mn")}] * 3 + [{"image": rng.choice(IMAGES)}])
        spec = {"model": model, "replicas": rng.choice([1, 1, 2])}
        if rng.random() < 0.4:
            spec["templateRef"] = rng.choice("abc")
        if rng.random() < 0.4:
            spec["overrides"] = rng.choice(
                [{"metric": "throughput"}, {"precision": "fp8"}, {"gpuSelector": {"count": 2}}]
            )
        if rng.random() < 0.2:
            spec["runtimeConfigName"] = "gold"
        await self.w.service(rng.choice(("s0", "s1", "s2")), rng.choice(TEAMS), **spec)

    async def template(self):
        rng = self.rng
        spec = {"metric": rng.choice(["latency", "throughput"])}
        if rng.random() < 0.7:
            spec["modelSources"] = STATIC
        if rng.random() < 0.5:
            spec["gpuSelector"] = {"count": 1, "model": "MI300X"}
        await self.w.template(rng.choice("abc"), self.place(), rng.choice("mmn"), **spec)

    async def model(self):
        rng = self.rng
        spec = {"image": rng.choice(IMAGES), "discovery": QUIET}
        if rng.random() < 0.4:
            spec["defaultServiceTemplate"] = rng.choice("abc")
        await self.w.model(rng.choice("mn"), self.place(), **spec)

    async def gpu(self):
        if not self.labels:
            self.labels = dict((await self.w.client.get(NODES, "n0")).meta.labels)
        there = self.rng.random() < 0.6
        mine = {key: value if there else None for key, value in self.labels.items() if "gpu" in key}
        await self.w.label_node("n0", mine)

    async def config(self):
        scope, place = self.rng.choice(["Namespace", "Cluster"]), self.place()
        await self.w.config(
            self.rng.choice(["default", "gold"]),
            place,
            model={"creationScope": "Namespace" if place else scope, "allowedImages": ["*"]},
        )

    async def runtime(self):
        name, namespace = self.rng.choice(("s0", "s1", "s2")), self.rng.choice(TEAMS)
        outcome = {OUTCOME_ANNOTATION: self.rng.choice(["fail: broken", "ready", "never"])}
        await self.w.patch(
            kinds.INFERENCE_SERVICES,
            name,
            namespace,
            metadata={"annotations": outcome},
            spec={"predictor": {"minReplicas": 5, "maxReplicas": 5}},
        )

    async def remove(self):
        rng, where = self.rng, self.place()
        kind, names = rng.choice(
            [
                (kinds.TEMPLATES if where else kinds.CLUSTER_TEMPLATES, "abc"),
                (kinds.MODELS if where else kinds.CLUSTER_MODELS, "mn"),
                (kinds.RUNTIME_CONFIGS if where else kinds.CLUSTER_RUNTIME_CONFIGS, ("default", "gold")),
                (kinds.SERVICES, ("s0", "s1", "s2")),
                (kinds.INFERENCE_SERVICES, ("s0", "s1", "s2")),
            ]
        )
        await self.w.delete(kind, rng.choice(names), where or rng.choice(TEAMS))


def trouble(w, rng):
    for verb, resource in (("patch", "aimservices"), ("patch", "inferenceservices"), ("create", "*")):
        w.faults.add(
            Answer(500, after_effect=rng.random() < 0.5), Match(verb=verb, resource=resource), times=5
        )
    w.faults.add(Delay(2.0), Match(verb="watch"), times=3)


def own(replica):
    """Writes to services and to the objects that they create, as short texts."""
    plurals = ("aimservices/", "inferenceservices", "aimmodels", "aimclustermodels")
    return [
        f"{item.method} {item.path}"
        for item in replica.wire.writes
        if any(plural in item.path for plural in plurals) and "/events" not in item.path
    ]


async def storm(seed: int) -> None:
    rng = random.Random(seed)
    async with serving(seed=seed, machines=[gpu_machine("n0")]) as w:
        for namespace in TEAMS:
            await w.namespace(namespace)
        people, replica = Storm(w, rng), w.start()
        for _ in range(10):
            await asyncio.sleep(1)
            troubled = rng.random() < 0.3
            if troubled:
                trouble(w, rng)
            for _ in range(rng.choice([1, 2, 3, 12])):
                await people.act()
                await asyncio.sleep(rng.choice([0, 0, 0.001, 0.05, 1, 20]))
            w.faults.clear()
            await asyncio.sleep(600 if troubled else 60)
            replica = await restarted(w, replica)
        written = len(own(replica))
        await asyncio.sleep(1200)
        assert len(own(replica)) == written, "a settled cluster is written to"


async def restarted(w, replica):
    """Replace the manager by another process, which must have nothing to write."""
    before = {key: body.get("status") for key, body in w.objects["AIMService"].items()}
    await replica.stop()
    fresh = w.start()
    await asyncio.sleep(60)
    after = {key: body.get("status") for key, body in w.objects["AIMService"].items()}
    assert after == before
    assert own(fresh) == []
    consistent(w)
    return fresh


def consistent(w) -> None:
    for (namespace, name), body in w.objects["AIMService"].items():
        status = body["status"]
        assert status["observedGeneration"] == body["metadata"]["generation"]
        runtime = w.runtime(name, namespace)
        if status["status"] == "Running":
            assert runtime is not None
            assert runtime["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
            if w.condition("Progressing", name, namespace)["status"] == "False":
                assert runtime["spec"]["predictor"]["minReplicas"] == body["spec"]["replicas"]
        if status["status"] == "Failed":
            assert w.reason("Failure", name, namespace) != "NoFailure"


@pytest.mark.proof
@pytest.mark.parametrize("seed", seeds(8, quick=1))
def test_after_random_changes_a_restarted_manager_changes_nothing(seed):
    run_virtual(storm(seed))
