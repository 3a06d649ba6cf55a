"""The kubelet's work for the pods of a machine: start, restart and stop their containers, and report their status.

Invariants:
    * A status is written only if it differs.
    * Logs are stored before the status that follows from them is written. A client that sees a container terminated can
      read its whole log.
    * A pod that is deleted gets SIGTERM. Its containers end after the time that their programs need, at the latest
      after the grace period. The final status is written before the pod is removed.
    * Sidecars start in the order of the init containers, and are stopped when the other containers have ended.
    * A restart of the simulation is a reboot of the machines: running containers start again; terminated ones stay
      terminated, and their logs are created again.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.logs import LogKey
from aimctl.devcluster.node.pods.containers import (
    ContainerRun,
    Facts,
    Running,
    Terminated,
    Waiting,
    started,
    step,
    terminate,
)
from aimctl.devcluster.node.pods.environment import Environment, Lookup
from aimctl.devcluster.node.pods.pod_life import (
    PodRun,
    container_of,
    events_of,
    notify_ended,
    with_termination_message,
)
from aimctl.devcluster.node.pods.pod_status import initial_runs, mains_done, next_init, phase, pod_status
from aimctl.devcluster.node.programs import container_call
from aimctl.kubetypes.builtin import PODS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.devcluster.node.logs import ContainerLogs
    from aimctl.devcluster.node.programs import Behaviour
    from aimctl.devcluster.node.volumes import Mounts
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["PodRunner"]

JsonObject = dict[str, Any]

_FINAL = frozenset({"Succeeded", "Failed"})
_SIGTERM, _SIGKILL = 143, 137
"""The exit codes of a process that a signal ended."""
_GRACE_SECONDS = 30


@final
class PodRunner:
    """Runs the pods that are bound to the machines.

    Args:
        client: used for reads and deletions.
        clock: source of all times.
        events: records Events.
        logs: where logs are stored.
        mounts: the claims that pods mount.
        behaviours: returns the behaviour of each container of a pod; None for an image that does not exist.
        write: writes a pod's status if it differs.
        pace: multiplies pull, run and termination times.
        termination_seconds: the least time from a deletion to the end of containers, before ``pace``.
        address: the machines' InternalIP.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        events: EventRecorder,
        logs: ContainerLogs,
        mounts: Mounts,
        behaviours: Callable[[JsonObject], dict[str, Behaviour | None]],
        write: Callable[[ObjectKey, JsonObject, JsonObject], Awaitable[bool]],
        pace: float,
        termination_seconds: float,
        address: str,
    ) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._logs = logs
        self._mounts = mounts
        self._behaviours = behaviours
        self._write = write
        self._pace = pace
        self._termination_seconds = termination_seconds
        self._address = address
        self._lookup = Lookup(client)
        self._pod_runs: dict[str, PodRun] = {}
        self._next_ip = 0

    def forget(self, uid: str) -> None:
        """Drop the state of a pod that is gone, and notify the programs of the containers that still run."""
        pod_run = self._pod_runs.pop(uid, None)
        if pod_run is not None:
            self._end_all(pod_run)

    async def run(self, key: ObjectKey, pod: JsonObject) -> float | None:
        """Do what is due for a pod. Returns the seconds until the next step, or None."""
        if pod["metadata"].get("deletionTimestamp"):
            return await self._kill(key, pod)
        if (pod.get("status") or {}).get("phase") in _FINAL:
            await self._restore_logs(key, pod)
            return None
        return await self._live(key, pod)

    async def _live(self, key: ObjectKey, pod: JsonObject) -> float | None:
        pod_run = self._pod_runs.get(pod["metadata"]["uid"]) or self._begin(pod)
        policy = str(pod["spec"].get("restartPolicy") or "Always")
        reports: list[tuple[str, str, str]] = []
        while True:
            # The wall clock advances while this awaits, so each round reads it again.
            now = self._clock.now()
            self._stop_sidecars(key, pod, pod_run, policy, now)
            ready = [run for run in self._stage(pod_run) if run.due is not None and run.due <= now]
            if not ready or phase(policy, pod_run.inits, pod_run.mains) in _FINAL:
                break
            for run in ready:
                reports += await self._advance(key, pod, pod_run, run, now)
        status = self._status(pod, pod_run, now)
        await self._write(key, pod, status)
        for item in reports:
            await self._events.report(pod, *item)
        if status["phase"] in _FINAL:
            return None
        due_times = [run.due for run in self._stage(pod_run) if run.due is not None]
        if pod_run.stopped is not None:
            due_times.append(self._ends_at(pod, pod_run, pod_run.sidecars, pod_run.stopped))
        return max(0.001, (min(due_times) - now).total_seconds()) if due_times else None

    def _status(self, pod: JsonObject, pod_run: PodRun, now: datetime, *, ended: bool = False) -> JsonObject:
        return pod_status(
            pod,
            pod_run.inits,
            pod_run.mains,
            now=now,
            host_ip=self._address,
            pod_ip=pod_run.ip,
            ended=ended,
        )

    def _begin(self, pod: JsonObject) -> PodRun:
        self._next_ip += 1
        uid = pod["metadata"]["uid"]
        known = (pod.get("status") or {}).get("podIP")
        third, fourth = divmod(self._next_ip % 65000, 250)
        pod_run = self._pod_runs[uid] = PodRun(
            known or f"10.244.{third}.{fourth + 2}",
            initial_runs(pod, "initContainers"),
            initial_runs(pod, "containers"),
            self._behaviours(pod),
        )
        for run in (*pod_run.inits, *pod_run.mains):
            if isinstance(run.state, Waiting):
                key = LogKey(pod["metadata"]["namespace"], pod["metadata"]["name"], run.name)
                self._logs.waiting(key, uid, run.state.reason)
        return pod_run

    def _stage(self, pod_run: PodRun) -> list[ContainerRun]:
        """The containers that may run now. Those that just became ready get the end of their pull as due time."""
        index = next_init(pod_run.inits)
        current = pod_run.mains if index is None else [pod_run.inits[index]]
        beside = [run for run in pod_run.inits[:index] if run.sidecar and run.initialized]
        if pod_run.stopped is not None:
            beside = []
        found = []
        for run in (*beside, *current):
            staged = run
            if run.due is None and isinstance(run.state, Waiting):
                behaviour = pod_run.behaviours[run.name]
                seconds = (1.0 if behaviour is None else behaviour.pull_seconds) * self._pace
                staged = replace(run, due=self._clock.now() + timedelta(seconds=seconds))
                pod_run.put(staged)
            found.append(staged)
        return found

    async def _advance(
        self, key: ObjectKey, pod: JsonObject, pod_run: PodRun, run: ContainerRun, now: datetime
    ) -> list[tuple[str, str, str]]:
        """Move one container by one transition. Returns the Events to record."""
        log = LogKey(key.namespace, key.name, run.name)
        uid = pod["metadata"]["uid"]
        facts = await self._facts(pod, pod_run, run)
        moved = step(run, facts, now)
        behaviour = pod_run.behaviours[run.name]
        if isinstance(moved.state, Running) and not isinstance(run.state, Running) and behaviour is not None:
            moved = self._start(pod, pod_run, moved, behaviour, log)
        elif isinstance(run.state, Running) and run.result is not None:
            self._logs.write(log, run.result.log_at_end)
            self._logs.end(log)
            notify_ended(run, None, self._pace)
            moved = with_termination_message(
                moved, container_of(pod, run.name), self._logs.termination_message(log)
            )
        elif isinstance(moved.state, Waiting):
            self._logs.waiting(log, uid, moved.state.reason)
        pod_run.put(moved)
        return events_of(run, moved)

    def _start(
        self, pod: JsonObject, pod_run: PodRun, run: ContainerRun, behaviour: Behaviour, log: LogKey
    ) -> ContainerRun:
        result = behaviour.run(self._call(pod, pod_run, run))
        now = self._clock.now()
        later = [(now + timedelta(seconds=at * self._pace), text) for at, text in result.log_while]
        self._logs.start(log, pod["metadata"]["uid"], result.log_at_start, later)
        seconds = behaviour.duration_seconds if result.duration_seconds is None else result.duration_seconds
        result = replace(
            result, duration_seconds=seconds * self._pace if not math.isinf(seconds) else seconds
        )
        return started(run, result, behaviour, now)

    def _call(self, pod: JsonObject, pod_run: PodRun, run: ContainerRun) -> Any:
        environment = pod_run.environments.get(run.name) or Environment({}, frozenset())
        container = container_of(pod, run.name)
        return container_call(
            pod,
            container,
            env=environment.values,
            secret_env=environment.from_secrets,
            restarts=run.restarts,
            volumes=self._mounts.volumes(pod, container),
        )

    async def _facts(self, pod: JsonObject, pod_run: PodRun, run: ContainerRun) -> Facts:
        metadata = pod["metadata"]
        behaviour = pod_run.behaviours[run.name]
        starting = isinstance(run.state, Waiting)
        if starting and run.pull_failures:
            # The registry may respond otherwise than to the last attempt.
            behaviour = pod_run.behaviours[run.name] = self._behaviours(pod)[run.name]
        credentials = False
        if starting and behaviour is not None and behaviour.needs_pull_secret:
            credentials = await self._lookup.credentials(pod, run.image)
        error = ""
        if starting:
            environment = await self._lookup.environment(pod, container_of(pod, run.name))
            pod_run.environments[run.name] = environment
            error = environment.error
        return Facts(
            behaviour,
            credentials,
            error,
            "Always" if run.sidecar else str(pod["spec"].get("restartPolicy") or "Always"),
            f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})",
        )

    # -- the end

    async def _kill(self, key: ObjectKey, pod: JsonObject) -> float | None:
        """End the containers when they have had their time, write the final status, and remove the pod."""
        uid = pod["metadata"]["uid"]
        pod_run = self._pod_runs.get(uid) or self._begin(pod)
        if pod_run.killed:
            return None
        now = self._clock.now()
        finished = (pod.get("status") or {}).get("phase") in _FINAL
        if not finished:
            pod_run.stopped = pod_run.stopped or now
            every = (*pod_run.inits, *pod_run.mains)
            least = timedelta(seconds=self._termination_seconds * self._pace)
            ends = max(self._ends_at(pod, pod_run, every, pod_run.stopped), pod_run.stopped + least)
            if now < ends:
                return (ends - now).total_seconds()
        self._end_all(pod_run)
        self._terminate(key, pod, pod_run, (*pod_run.inits, *pod_run.mains), now)
        if not finished:
            await self._write(key, pod, self._status(pod, pod_run, now, ended=True))
        await self._client.delete(PODS, key.name, key.namespace, uid=uid, grace_period_seconds=0)
        pod_run.killed = True
        return None

    def _stop_sidecars(
        self, key: ObjectKey, pod: JsonObject, pod_run: PodRun, policy: str, now: datetime
    ) -> None:
        """Stop the sidecars when the other containers have ended."""
        sidecars = pod_run.sidecars
        if not sidecars or not mains_done(policy, pod_run.mains):
            return
        pod_run.stopped = pod_run.stopped or now
        if self._ends_at(pod, pod_run, sidecars, pod_run.stopped) <= now:
            for run in sidecars:
                notify_ended(run, now, self._pace)
            self._terminate(key, pod, pod_run, sidecars, now)

    def _ends_at(
        self, pod: JsonObject, pod_run: PodRun, runs: Iterable[ContainerRun], stopped: datetime
    ) -> datetime:
        """When all running containers of a pod have ended that got SIGTERM at this time."""
        running = [run for run in runs if isinstance(run.state, Running)]
        seconds = max((self._seconds_to_end(pod_run, run) for run in running), default=0.0)
        return stopped + timedelta(seconds=min(seconds, _grace_of(pod)))

    def _terminate(
        self, key: ObjectKey, pod: JsonObject, pod_run: PodRun, runs: Iterable[ContainerRun], now: datetime
    ) -> None:
        for run in runs:
            in_time = self._seconds_to_end(pod_run, run) <= _grace_of(pod)
            pod_run.put(terminate(run, now, exit_code=_SIGTERM if in_time else _SIGKILL))
            self._logs.end(LogKey(key.namespace, key.name, run.name))

    def _seconds_to_end(self, pod_run: PodRun, run: ContainerRun) -> float:
        behaviour = pod_run.behaviours[run.name]
        seconds = 0.0 if behaviour is None else behaviour.termination_seconds
        return seconds if math.isinf(seconds) else seconds * self._pace

    def _end_all(self, pod_run: PodRun) -> None:
        for run in (*pod_run.inits, *pod_run.mains):
            notify_ended(run, self._clock.now(), self._pace)

    async def _restore_logs(self, key: ObjectKey, pod: JsonObject) -> None:
        """After a reboot: create the logs and volume contents of terminated containers again."""
        uid = pod["metadata"]["uid"]
        if uid in self._pod_runs:
            return
        pod_run = self._begin(pod)
        for run in (*pod_run.inits, *pod_run.mains):
            behaviour = pod_run.behaviours[run.name]
            log = LogKey(key.namespace, key.name, run.name)
            if (
                isinstance(run.state, Terminated)
                and behaviour is not None
                and not self._logs.started(log, uid)
            ):
                pod_run.environments[run.name] = await self._lookup.environment(
                    pod, container_of(pod, run.name)
                )
                result = behaviour.run(self._call(pod, pod_run, run))
                between = b"".join(text for _, text in result.log_while)
                self._logs.start(log, uid, result.log_at_start + between + result.log_at_end)
                self._logs.end(log)
                if result.ended is not None:
                    result.ended(math.inf)


def _grace_of(pod: JsonObject) -> float:
    """The grace period of the deletion, or else the one of the pod's spec."""
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds", _GRACE_SECONDS)
    return float(seconds)
