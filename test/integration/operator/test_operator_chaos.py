"""Random changes, nodes, faults and crashes at once, and what must be true when they have ended."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, CutStream, Delay, Gone410, Match, Refuse, Silence
from aimctl.devcluster.node.machines import Machine
from aimctl.kubetypes.builtin import PODS
from aimctl.simulation.machines import gpu_machine
from aimctl.testing.virtualtime import run_virtual
from support.operator import world
from support.proofs import seeds

if TYPE_CHECKING:
    from support.operator import World

LIMIT = 3
GOOD = ("aim-one:1", "aim-two:1", "aim-three:1")
BAD = ("aim-broken:1", "hostile:empty", "hostile:cut")
GPUS = ("MI300X", "MI325X", "")
NAMESPACES = ("red", "blue", "")


class Wanted(NamedTuple):
    """A template as it was requested last."""

    model: str
    gpu: str


class Chaos:
    """Makes random changes, and remembers what was requested."""

    def __init__(self, w: World, rng: random.Random) -> None:
        self.w = w
        self.rng = rng
        self.templates: dict[tuple[str, str], Wanted] = {}
        self.models: dict[tuple[str, str], str] = {}
        self.lost: Counter[str] = Counter()
        """How often a Job or its pod was deleted, by the name of the Job."""

    async def people(self) -> None:
        """One change by a user."""
        w, rng = self.w, self.rng
        namespace, name = rng.choice(NAMESPACES), rng.choice("mn")
        match rng.randrange(10):
            case 0 | 1 | 2:
                await self._make_template()
            case 3 if self.templates:
                key = rng.choice(sorted(self.templates))
                del self.templates[key]
                await w.delete_template(key[1], key[0])
            case 4 | 5:
                image = rng.choice(GOOD + GOOD + BAD)
                self.models[namespace, name] = image
                await w.model(name, namespace, image=image)
            case 6 if (namespace, name) in self.models:
                del self.models[namespace, name]
                kind = kinds.MODELS if namespace else kinds.CLUSTER_MODELS
                await w.client.delete(kind, name, namespace)
            case 7:
                device = rng.choice(["74a1", "74a5", None])
                await w.label_node("plain", {"amd.com/gpu.device-id": device})
            case 8 if w.ledger.jobs:
                job = w.ledger.jobs[rng.choice(sorted(w.ledger.jobs))]
                self.lost[job["metadata"]["name"]] += 1
                await w.delete_job(job)
            case 9:
                pods = [pod for pod in (await w.client.list(PODS)).items if "job-name" in pod.meta.labels]
                if pods:
                    pod = rng.choice(pods)
                    self.lost[pod.meta.labels["job-name"]] += 1
                    await w.client.delete(PODS, pod.meta.name, pod.meta.namespace, grace_period_seconds=0)

    async def _make_template(self) -> None:
        rng = self.rng
        key = (rng.choice(NAMESPACES), f"t{rng.randrange(6)}")
        if key in self.templates:
            await self.w.annotate(key[1], key[0], rediscover=str(rng.random()))
            return
        self.templates[key] = wanted = Wanted(rng.choice("mn"), rng.choice(GPUS))
        gpu = {"count": 1, "model": wanted.gpu} if wanted.gpu else None
        await self.w.template(key[1], key[0], wanted.model, gpuSelector=gpu)
        if rng.random() < 0.3 and key[0]:
            await self.w.service(f"s-{key[1]}", key[0], model={"ref": wanted.model}, templateRef=key[1])

    async def trouble(self) -> None:
        """One fault."""
        w, rng, faults = self.w, self.rng, self.w.faults
        storage = w.cluster.server.storage
        match rng.randrange(9):
            case 0:
                await rng.choice([replica for replica in w.replicas if replica.running]).crash()
            case 1 if w.leader is not None:
                await w.leader.stop()
            case 2:
                faults.add(Answer(rng.choice([429, 500, 503])), chance=0.3, times=rng.randrange(1, 30))
            case 3:
                faults.add(Answer(500, after_effect=rng.random() < 0.5), Match("create", "jobs"), times=2)
            case 4:
                faults.add(Delay(rng.uniform(0.1, 4.4)), Match(rng.choice(["create", "patch"])), times=3)
            case 5:
                plural = rng.choice(["jobs", "pods", "aim*", "nodes"])
                faults.add(Silence(rng.randrange(4)), Match("watch", plural), times=3)
                storage.end_streams()
            case 6:
                faults.add(CutStream(rng.randrange(4)), Match("watch"), times=rng.randrange(1, 9))
                storage.end_streams()
            case 7:
                faults.add(Gone410(rng.choice(["event", "status", "body"])), Match("watch"), times=5)
                storage.compact()
                storage.end_streams()
            case 8:
                outage = faults.add(Refuse())
                storage.end_streams()
                await asyncio.sleep(rng.uniform(0.2, 8.0))
                faults.remove(outage)

    def replace_the_dead(self) -> None:
        for replica in [*self.w.replicas]:
            if not replica.running:
                self.w.replicas.remove(replica)
                self.w.start(election=True, discovery_limit=LIMIT)

    # ---- what must be true

    def problems(self) -> list[str]:
        """Templates that are not in the state that follows from what was requested."""
        offered = self._offered()
        found = []
        for key, wanted in self.templates.items():
            status = (self.w.ledger.templates.get(key) or {}).get("status") or {}
            expected = self._expected(key, wanted, status, offered)
            seen = self._seen(status, ready=expected[0] == "Ready")
            if seen != expected:
                found.append(f"{key} {wanted}: {seen} instead of {expected}")
        return found

    def _offered(self) -> set[str]:
        collection = next(item for item in self.w.cluster.server.storage if item.name.endswith("nodes"))
        devices = {record.labels.get("amd.com/gpu.device-id") for record in collection.records.values()}
        return {{"74a1": "MI300X", "74a5": "MI325X"}[item] for item in devices if item}

    def _expected(
        self, key: tuple[str, str], wanted: Wanted, status: dict[str, Any], offered: set[str]
    ) -> tuple[str, ...]:
        image = (self.models.get((key[0], wanted.model)) if key[0] else None) or self.models.get(
            ("", wanted.model)
        )
        once = bool(status.get("modelSources"))
        if image is None:
            return ("Degraded" if once else "Pending",)
        if wanted.gpu and wanted.gpu not in offered:
            return ("NotAvailable",)
        if image in BAD:
            return ("Degraded" if once else "Failed",)
        return ("Ready", image.partition(":")[0])

    def _seen(self, status: dict[str, Any], *, ready: bool) -> tuple[str, ...]:
        state = status.get("status", "")
        if not ready:
            return (state,)
        return (state, *(source["name"] for source in status.get("modelSources") or ()))


def _run(seed: int) -> None:
    async def scenario() -> None:
        rng = random.Random(seed)
        machines = [gpu_machine("n0", "MI300X"), Machine("plain")]
        async with world(seed=seed, machines=machines, pace=rng.choice([0.3, 1.0])) as w:
            w.faults._rng = rng
            chaos = Chaos(w, rng)
            for _ in range(2):
                w.start(election=True, discovery_limit=LIMIT)
            for _ in range(30):
                await chaos.people()
                if rng.random() < 0.35:
                    await chaos.trouble()
                chaos.replace_the_dead()
                await asyncio.sleep(rng.uniform(0.0, 3.0))
            w.faults.clear()
            chaos.replace_the_dead()

            await w.until(
                lambda: not w.ledger.unfinished and not chaos.problems(), 400, "what people asked for"
            )
            assert w.ledger.most_unfinished <= LIMIT
            assert set(w.ledger.templates) == set(chaos.templates)
            for (_, name), count in w.ledger.created.items():
                assert count <= 1 + chaos.lost[name] + w.ledger.cut_short[name], f"{name}: made {count} times"
            for history in w.ledger.history.values():
                for status in history:
                    assert ("profile" in status) == bool(status.get("modelSources")), status

            await asyncio.sleep(100)  # streams that fell silent end, Events are written
            version = len(w.ledger.creations), [len(replica.wire.writes) for replica in w.replicas]
            await asyncio.sleep(100)
            assert chaos.problems() == []
            assert version == (len(w.ledger.creations), [len(replica.wire.writes) for replica in w.replicas])
            leader = w.leader
            assert leader is not None
            assert (leader.admission.pending, leader.admission.running) == (0, 0)

    run_virtual(scenario())


@pytest.mark.proof
@pytest.mark.parametrize("seed", seeds(16, quick=1))
def test_after_random_changes_and_faults_the_cluster_settles_in_the_requested_state(seed):
    _run(seed)
