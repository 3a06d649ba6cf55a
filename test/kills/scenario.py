"""One run: a user's objects on a real API server, while managers are killed and connections are cut.

    report = run_seed(cluster, relay, folder, seed=17)

Contract:
    * What happens and the pauses between it are chosen by the seed. The exact moments also depend on the machine.
    * Faults are SIGKILL of a manager, which starts again at once, and the cut of all connections to the API server. The
      user's edits are made between the faults.
    * While the faults happen, and until the objects are settled: at most ten unfinished discovery Jobs.
    * After the last fault the objects reach their final state within :data:`SETTLE_SECONDS`: every template is Ready after
      exactly one discovery Job, every service is Running with one InferenceService, what was deleted is gone with all
      that it owned, and no observedGeneration is above its generation or behind it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.jobwatch import JobWitness
from support.managers import ManagerProcess
from support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kills.relay import Relay
    from support.clusters import RunningCluster

__all__ = ["LIMIT", "SETTLE_SECONDS", "Report", "run_seed"]

LIMIT = 10
SETTLE_SECONDS = 120.0
_FAULTS = 10
_PAIRED = 5
"""Every fifth seed runs two managers with a Lease; the others run one without, which starts to work at once."""
_TEMPLATES = 14
_TOKENIZER = {"name": "tokenizer", "sourceURI": "hf://example/tokenizer", "size": "2Mi"}
_INFERENCE = ("serving.kserve.io", "v1beta1")


@dataclass
class Report:
    """What happened in one run.

    Attributes:
        seed: of the run.
        faults: how often each fault happened.
        problems: what was wrong; empty for a run that passed.
        settled_seconds: from the last fault to the final state.
        jobs: discovery Jobs that were created.
        most_unfinished: of them at one time.
        actions: what was done, with the seconds since the start.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    settled_seconds: float = 0.0
    jobs: int = 0
    most_unfinished: int = 0
    actions: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line for the run."""
        faults = ", ".join(f"{number} {name}" for name, number in sorted(self.faults.items()))
        done = f"settled after {self.settled_seconds:.1f} s, {self.jobs} Jobs, at most {self.most_unfinished} at once"
        return f"seed {self.seed}: {'FAILED' if self.problems else 'passed'}; {faults}; {done}"


class _Run:
    def __init__(self, stage: Stage, managers: list[ManagerProcess], relay: Relay, report: Report) -> None:
        self._stage, self._managers, self._relay, self._report = stage, managers, relay, report
        self._rng = random.Random(report.seed)
        self._begun = time.monotonic()
        self._templates = {f"t-{number:02d}" for number in range(_TEMPLATES)}
        self._services = {"plain", "cached", "overridden"}

    # ---- the user

    def create(self) -> None:
        stage = self._stage
        stage.model()
        stage.model("spare")
        for name in sorted(self._templates):
            stage.template(
                name,
                metric="latency" if name < "t-07" else "throughput",
                gpuSelector={"count": 1 + int(name[2:]) % 2},
            )
        stage.template(
            "warm", model="spare", metric="latency", modelSources=[_TOKENIZER], caching={"enabled": True}
        )
        stage.service("plain", templateRef="t-00")
        stage.service("cached", model="spare", templateRef="warm", cacheModel=True)
        stage.service("overridden", templateRef="t-01", overrides={"precision": "fp8"})
        self._note("created the objects")

    def _edits(self) -> list[Callable[[], str]]:
        return [self._delete_template, self._scale_service, self._delete_service, self._add_template]

    def _delete_template(self) -> str:
        name = self._rng.choice(sorted(self._templates - {"t-00", "t-01"}))
        self._templates.discard(name)
        self._stage.delete("AIMServiceTemplate", name)
        return f"deleted template {name}"

    def _add_template(self) -> str:
        name = f"t-{50 + len(self._report.actions)}"
        self._templates.add(name)
        self._stage.template(name, metric="latency", gpuSelector={"count": 4})
        return f"created template {name}"

    def _scale_service(self) -> str:
        self._stage.edit("AIMService", "cached", {"replicas": 2})
        return "scaled service cached"

    def _delete_service(self) -> str:
        if "plain" not in self._services:
            return "nothing"
        self._services.discard("plain")
        self._stage.delete("AIMService", "plain")
        return "deleted service plain"

    # ---- faults

    def disturb(self) -> None:
        for _ in range(_FAULTS):
            time.sleep(self._rng.choice((0.05, 0.2, 0.5, 1.0, 2.0)) * self._rng.random())
            fault = self._rng.choice(("kill", "kill", "cut", "edit"))
            self._report.faults[fault] += 1
            if fault == "kill":
                manager = self._rng.choice(self._managers)
                manager.kill()
                manager.start()
                self._note("killed a manager")
            elif fault == "cut":
                self._note(f"cut {self._relay.cut()} connections")
            else:
                self._note(self._rng.choice(self._edits())())

    def _note(self, text: str) -> None:
        self._report.actions.append(f"{time.monotonic() - self._begun:6.2f} {text}")

    # ---- the final state

    def settle(self) -> None:
        ended = time.monotonic()
        missing = self._missing()
        while missing and time.monotonic() - ended < SETTLE_SECONDS:
            self._restart()
            time.sleep(0.3)
            missing = self._missing()
        self._report.settled_seconds = time.monotonic() - ended
        self._report.problems += missing

    def _restart(self) -> None:
        """Start managers that ended, as a kubelet does. A manager may give up while it cannot reach the server."""
        for manager in self._managers:
            if not manager.running:
                self._report.faults["exit"] += 1
                manager.start()

    def _missing(self) -> list[str]:
        """What is not in its final state."""
        stage = self._stage
        templates = {item["metadata"]["name"]: item for item in stage.list("AIMServiceTemplate")}
        services = {item["metadata"]["name"]: item for item in stage.list("AIMService")}
        derived = templates.keys() - self._templates - {"warm"}
        found = [f"{name} exists" for name in services.keys() - self._services]
        if len(derived) != 1:
            found.append(f"the derived templates are {sorted(derived)}")
        found += [f"template {name} is absent" for name in (self._templates | {"warm"}) - templates.keys()]
        found += [_unsettled("template", item, "Ready") for item in templates.values()]
        found += [_unsettled("service", item, "Running") for item in services.values()]
        caches = stage.list("AIMModelCache")
        found += [_unsettled("cache", item, "Available") for item in caches]
        if len(caches) != 1:
            found.append(f"{len(caches)} model caches")
        custom = stage.cluster.custom
        serving = custom.list_namespaced_custom_object(*_INFERENCE, stage.namespace, "inferenceservices")[
            "items"
        ]
        names = sorted(item["metadata"]["name"] for item in serving)
        if names != sorted(self._services):
            found.append(f"the InferenceServices are {names}")
        present = {job.metadata.labels["aim.silogen.ai/template"] for job in self._discoveries()}
        found += [f"a Job of the deleted template {name}" for name in present - templates.keys()]
        return [text for text in found if text]

    def _discoveries(self) -> list[Any]:
        return self._stage.jobs("aim.silogen.ai/template")

    def judge(self, witness: JobWitness) -> None:
        """Judge what happened on the way."""
        report, namespace = self._report, self._stage.namespace
        created = {name: number for (space, name), number in witness.created.items() if space == namespace}
        report.jobs, report.most_unfinished = sum(created.values()), witness.most_unfinished
        if witness.most_unfinished > LIMIT:
            report.problems.append(f"{witness.most_unfinished} unfinished discovery Jobs at once")
        if witness.gaps:
            report.problems.append("the witness missed events")
        report.problems += [
            f"Job {name} was created {number} times" for name, number in created.items() if number > 1
        ]
        per_template = Counter(job.metadata.labels["aim.silogen.ai/template"] for job in self._discoveries())
        report.problems += [
            f"template {name} has {number} discovery Jobs"
            for name, number in per_template.items()
            if number > 1
        ]


def _unsettled(word: str, item: dict[str, Any], state: str) -> str:
    status, generation = item.get("status") or {}, item["metadata"]["generation"]
    if status.get("status") == state and status.get("observedGeneration", generation) == generation:
        return ""
    return f"{word} {item['metadata']['name']} is {status.get('status')} of generation {status.get('observedGeneration')}"


def run_seed(cluster: RunningCluster, relay: Relay, kubeconfig: Path, folder: Path, *, seed: int) -> Report:
    """Make one run and clean up. ``kubeconfig`` is that of the managers and leads through the relay."""
    report = Report(seed)
    log = folder / f"manager-{seed}.log"
    paired = seed % _PAIRED == _PAIRED - 1
    flags = (*cluster.manager_flags, "--leader-elect" if paired else "--no-leader-elect")
    managers = [ManagerProcess(kubeconfig, log, *flags) for _ in range(2 if paired else 1)]
    with JobWitness(cluster.kubeconfig) as witness:
        for manager in managers:
            manager.__enter__()
        try:
            run = _Run(Stage(cluster, "kill"), managers, relay, report)
            run.create()
            run.disturb()
            run.settle()
            run.judge(witness)
        finally:
            for manager in managers:
                manager.__exit__()
    cluster.clean()
    return report
