"""Model caches with random changes and faults: what holds at all times, and after the faults have ended."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, CutStream, Delay, Gone410, Match, Refuse, Silence
from aimctl.kubetypes.builtin import JOBS, PODS
from aimctl.runtime.kube import NotFound
from aimctl.simulation.catalogue import Catalogue
from aimctl.testing.virtualtime import run_virtual
from support.download_ledger import Downloads
from support.operator import world
from support.proofs import seeds

if TYPE_CHECKING:
    from support.operator import World

NAMES = ("one", "two", "three", "four")
HUB = [
    {"source": "hf://breaks/*", "size_gb": 8, "fail_first": 2, "gb_per_second": 0.5},
    {"source": "hf://slow/*", "size_gb": 20, "gb_per_second": 0.25},
    {"source": "hf://fine/*", "size_gb": 4},
]


class Chaos:
    def __init__(self, w: World, downloads: Downloads, rng: random.Random) -> None:
        self.w = w
        self.downloads = downloads
        self.rng = rng
        self.wanted: set[str] = set()
        self.sources: dict[str, str] = defaultdict(
            lambda: f"hf://{rng.choice(['breaks', 'slow', 'fine'])}/model"
        )

    async def people(self) -> None:
        w, rng = self.w, self.rng
        name = rng.choice(NAMES)
        match rng.randrange(9):
            case 0 | 1 | 2:
                self.wanted.add(name)
                env = [{"name": "N", "value": str(rng.randrange(3))}]
                await self.downloads.want(name, source=self.sources[name], size="20Gi", env=env)
            case 3 if name in self.wanted:
                self.wanted.discard(name)
                await w.client.delete(kinds.MODEL_CACHES, name, "team", propagation="Background")
            case 4:
                await self.downloads.delete_claim(name)
            case 5:
                await self.lose(name)
            case 6:
                for job in (await w.client.list(JOBS, "team")).items[:1]:
                    policy = rng.choice(["Background", "Foreground"])
                    await w.client.delete(JOBS, job.meta.name, "team", propagation=policy)
            case 7:
                for pod in (await w.client.list(PODS, "team")).items[:1]:
                    await w.client.delete(PODS, pod.meta.name, "team")
            case 8 if name in self.wanted:
                await self.downloads.annotate(name, rediscover=str(rng.random()))

    async def lose(self, name: str) -> None:
        try:
            await self.w.cluster.volumes.lose(name, "team")
        except NotFound:
            return

    async def trouble(self) -> None:
        w, rng, faults = self.w, self.rng, self.w.faults
        storage = w.cluster.server.storage
        match rng.randrange(8):
            case 0:
                await rng.choice([replica for replica in w.replicas if replica.running]).crash()
            case 1:
                faults.add(Answer(rng.choice([429, 500, 503])), chance=0.3, times=rng.randrange(1, 30))
            case 2:
                plural = rng.choice(["jobs", "persistentvolumeclaims"])
                faults.add(Answer(500, after_effect=rng.random() < 0.5), Match("create", plural), times=2)
            case 3:
                faults.add(Delay(rng.uniform(0.1, 4.4)), Match(rng.choice(["create", "patch"])), times=3)
            case 4:
                plural = rng.choice(["jobs", "pods", "aim*", "persistentvolumeclaims"])
                faults.add(Silence(rng.randrange(4)), Match("watch", plural), times=3)
                storage.end_streams()
            case 5:
                faults.add(CutStream(rng.randrange(4)), Match("watch"), times=rng.randrange(1, 9))
                storage.end_streams()
            case 6:
                faults.add(Gone410(rng.choice(["event", "status", "body"])), Match("watch"), times=5)
                storage.compact()
                storage.end_streams()
            case 7:
                outage = faults.add(Refuse())
                storage.end_streams()
                await asyncio.sleep(rng.uniform(0.2, 8.0))
                faults.remove(outage)

    def replace_the_dead(self) -> None:
        for replica in [*self.w.replicas]:
            if not replica.running:
                self.w.replicas.remove(replica)
                self.w.start(election=True)

    async def repair(self) -> None:
        """Do what the conditions ask of a user."""
        for name in self.wanted:
            if self.downloads.outcome(name)[1] == "VolumeLost":
                await self.downloads.delete_claim(name)


def _run(seed: int) -> None:
    async def scenario() -> None:
        rng = random.Random(seed)
        catalogue = Catalogue.default().extended(downloads=HUB)
        async with world(seed=seed, catalogue=catalogue, provision_seconds=rng.choice([0, 2])) as w:
            w.faults._rng = rng
            await w.namespace("team")
            downloads = Downloads(w)
            chaos = Chaos(w, downloads, rng)
            for _ in range(2):
                w.start(election=True)
            for _ in range(40):
                await chaos.people()
                if rng.random() < 0.35:
                    await chaos.trouble()
                chaos.replace_the_dead()
                await asyncio.sleep(rng.uniform(0.0, 12.0))
            w.faults.clear()
            chaos.replace_the_dead()

            def done() -> bool:
                states = {name: downloads.outcome(name)[0] for name in chaos.wanted}
                return set(states.values()) <= {"Available"} and len(downloads.caches) == len(states)

            for _ in range(200):
                await chaos.repair()
                if done():
                    break
                await asyncio.sleep(60)
            assert done(), {name: downloads.caches.get(("team", name)) for name in chaos.wanted}
            assert downloads.most_at_once <= 1
            assert downloads.most_writers <= 1

            await asyncio.sleep(400)
            left = await downloads.left()
            assert left["claims"] == len(chaos.wanted)
            for name in chaos.wanted:
                claim = await downloads.claim(name)
                assert downloads.status(name)["completed"]["volumeUid"] == claim["metadata"]["uid"]
                assert w.simulation.downloads.used_bytes(claim["metadata"]["uid"]) > 0
            writes = [len(replica.wire.writes) for replica in w.replicas]
            await asyncio.sleep(400)
            assert writes == [len(replica.wire.writes) for replica in w.replicas]

    run_virtual(scenario())


@pytest.mark.proof
@pytest.mark.parametrize("seed", seeds(10, quick=1))
def test_every_wanted_cache_becomes_available_with_one_job_at_a_time_in_spite_of_faults(seed):
    _run(seed)
