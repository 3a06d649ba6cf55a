"""Scheduler and kubelets of simulated machines, which run no real containers.

All access is through the API, so the simulation works with the embedded cluster and with a real kube-apiserver. This
module does the I/O. Decisions are elsewhere: what a container does in the list of
:class:`~aimctl.devcluster.node.programs.Program`, its states in :mod:`aimctl.devcluster.node.containers`, the pod's
status in :mod:`aimctl.devcluster.node.pod_status`, and the machine in :mod:`aimctl.devcluster.node.scheduling`.

Invariants:
    * A pod is handled by one task at a time, and a status is written only if it differs.
    * Logs are stored before the status that follows from them is written. A client that sees a container terminated can
      read its whole log.
    * A pod is bound only to a machine with enough free resources. A binding counts from its response on.
    * A restart of the simulation is a reboot of the machines: running containers start again; terminated ones stay
      terminated, and their logs are created again.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.logs import LogKey
from aimctl.devcluster.apiserver.objects.disruption import disruption_target
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.devcluster.node.containers import (
    ContainerRun,
    Facts,
    Running,
    Terminated,
    Waiting,
    started,
    step,
    terminate,
)
from aimctl.devcluster.node.environment import Environment, Lookup
from aimctl.devcluster.node.logs import ContainerLogs
from aimctl.devcluster.node.pod_life import (
    PodRun,
    container_of,
    events_of,
    notify_ended,
    with_termination_message,
)
from aimctl.devcluster.node.pod_status import (
    initial_runs,
    next_init,
    phase,
    pod_status,
    status_patch,
    unschedulable_status,
)
from aimctl.devcluster.node.programs import Behaviour, container_call
from aimctl.devcluster.node.registrar import Registrar
from aimctl.devcluster.node.scheduling import place
from aimctl.devcluster.node.volumes import Mounts
from aimctl.kubetypes.builtin import PODS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.devcluster.node.machines import Machine
    from aimctl.devcluster.node.programs import Program
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["SimulatedNodes"]

_FINAL = frozenset({"Succeeded", "Failed"})
_QUARANTINE = timedelta(seconds=40)
"""Of the pod garbage collector, for pods on nodes that do not exist."""

_UNSCHEDULABLE = "0/{count} nodes are available: {count} node(s) didn't match Pod's node affinity/selector."


@final
class SimulatedNodes:
    """Registers machines and runs the pods that are bound to them.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        machines: registered at the start; :meth:`add_machine` and :meth:`remove_machine` change them later.
        programs: decide what containers do; the first that answers counts. If none answers, the image does not exist;
            without any program, every image exists and every container succeeds.
        events: records Events.
        schedule: whether to bind pending pods; False where a scheduler runs.
        pace: multiplies every pull and run time of the programs; 0 makes them instant.
        termination_seconds: from a pod's deletion until its containers have ended, before ``pace``.
        heartbeat_seconds: period of Lease and status renewal; None disables both.
        address: the machines' InternalIP.
        kubelet_port: port of a :class:`~aimctl.devcluster.node.kubelet.KubeletServer` for the logs, if there is one.
        logs: where logs are stored; None creates a store.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        machines: Sequence[Machine],
        programs: Sequence[Program],
        events: EventRecorder,
        schedule: bool = True,
        pace: float = 1.0,
        termination_seconds: float = 0.0,
        heartbeat_seconds: float | None = None,
        address: str = "127.0.0.1",
        kubelet_port: int | None = None,
        logs: ContainerLogs | None = None,
    ) -> None:
        self.logs = logs or ContainerLogs(clock=clock)
        self.programs = list(programs)
        self._client = client
        self._clock = clock
        self._events = events
        self._schedule_pods = schedule
        self._pace = pace
        self._termination = timedelta(seconds=termination_seconds * pace)
        self._address = address
        self._lookup = Lookup(client)
        self._pod_runs: dict[str, PodRun] = {}
        self._unscheduled: dict[ObjectKey, None] = {}
        self._orphans: dict[str, datetime] = {}
        """By uid, when pods are deleted whose node does not exist."""
        self._next_ip = 0
        self.worker: Worker[ObjectKey] = Worker("node", self._reconcile, clock=clock)
        self.pods: Informer[dict[str, Any]] = Informer(
            client, PODS, clock=clock, project=body_of, on_change=self._pod_changed
        )
        self.mounts = Mounts(client, clock=clock, on_change=self._schedule_again)
        self.registrar = Registrar(
            client,
            clock=clock,
            machines=machines,
            on_change=self._schedule_again,
            heartbeat_seconds=heartbeat_seconds,
            address=address,
            kubelet_port=kubelet_port,
        )

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return (self.pods, self.mounts.claims, self.registrar.nodes)

    async def run(self) -> None:
        """Register the machines, then run pods until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.registrar.run())
            tasks.create_task(self.pods.run())
            tasks.create_task(self.mounts.claims.run())
            await self.registrar.nodes.synced.wait()
            await self.pods.synced.wait()
            await self.mounts.claims.synced.wait()
            tasks.create_task(self.worker.run())

    async def add_machine(self, machine: Machine) -> None:
        """Register a machine, or change the one of that name. Pods without a node are scheduled again."""
        await self.registrar.add(machine)

    async def remove_machine(self, name: str) -> None:
        """Remove a machine: delete its pods, without a grace period, and its Node.

        Pods that have not ended are marked as those whose node does not exist, as by the pod garbage collector.
        """
        for key, pod in list(self.pods.values().items()):
            if pod["spec"].get("nodeName") == name:
                await self._collect(key, pod)
        await self.registrar.remove(name)

    async def _collect(self, key: ObjectKey, pod: dict[str, Any]) -> None:
        """Delete a pod whose node does not exist."""
        if (pod.get("status") or {}).get("phase") not in _FINAL:
            gone = disruption_target("DeletionByPodGC", "PodGC: node no longer exists", self._clock.now())
            await self._write(key, pod, {"phase": "Failed", "conditions": [gone]})
        uid = pod["metadata"]["uid"]
        await self._client.delete(PODS, key.name, key.namespace, uid=uid, grace_period_seconds=0)

    async def _quarantine(self, key: ObjectKey, pod: dict[str, Any]) -> float | None:
        """Delete a pod whose node has not existed for some time, as the pod garbage collector does."""
        now = self._clock.now()
        due = self._orphans.setdefault(pod["metadata"]["uid"], now + _QUARANTINE)
        if now < due:
            return (due - now).total_seconds()
        await self._collect(key, pod)
        return None

    def _pod_changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        released = self.registrar.account(old, new)
        if new is None and old is not None:
            uid = old["metadata"]["uid"]
            self._end_all(self._pod_runs.pop(uid, None))
            self._unscheduled.pop(key, None)
            self._orphans.pop(uid, None)
            self.logs.forget(key.namespace, key.name, uid)
        else:
            self.worker.add(key)
        if released:
            self._schedule_again()

    def _end_all(self, pod_run: PodRun | None) -> None:
        """Notify the programs of the containers that still run."""
        for run in () if pod_run is None else (*pod_run.inits, *pod_run.mains):
            notify_ended(run, self._clock.now(), self._pace)

    def _schedule_again(self) -> None:
        for key in self._unscheduled:
            self.worker.add(key)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        pod = self.pods.get(key)
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if not node:
            if self._schedule_pods and not pod["metadata"].get("deletionTimestamp"):
                await self._schedule(key, pod)
            return None
        self._unscheduled.pop(key, None)
        if not self.registrar.owns(node):
            return None if self.registrar.exists(node) else await self._quarantine(key, pod)
        if pod["metadata"].get("deletionTimestamp"):
            return await self._kill(key, pod)
        if (pod.get("status") or {}).get("phase") in _FINAL:
            await self._restore_logs(key, pod)
            return None
        return await self._live(key, pod)

    async def _schedule(self, key: ObjectKey, pod: dict[str, Any]) -> None:
        placement = place(pod, self.registrar.views())
        node, message = placement.node, placement.message
        if node:
            total = len(self.registrar.nodes.values())
            if any(item is not None and not item.schedulable for item in self._behaviours(pod).values()):
                node, message = "", _UNSCHEDULABLE.format(count=total)
            else:
                rejection = self.mounts.rejection(pod)
                if rejection:
                    node, message = "", f"0/{total} nodes are available: {rejection}."
        if not node:
            await self._reject(key, pod, message)
            return
        metadata = {"name": key.name, "namespace": key.namespace, "uid": pod["metadata"]["uid"]}
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": metadata,
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        path = PODS.path(key.namespace, key.name, "binding")
        await self._client.raw("POST", path, body=msgspec.json.encode(body))
        self.pods.observe(await self._client.get(PODS, key.name, key.namespace))
        await self._events.report(pod, "Normal", "Scheduled", f"Successfully assigned {key} to {node}")

    async def _reject(self, key: ObjectKey, pod: dict[str, Any], message: str) -> None:
        self._unscheduled[key] = None
        status = unschedulable_status(pod, message, self._clock.now())
        if await self._write(key, pod, status):
            await self._events.report(pod, "Warning", "FailedScheduling", message)

    async def _live(self, key: ObjectKey, pod: dict[str, Any]) -> float | None:
        pod_run = self._pod_runs.get(pod["metadata"]["uid"]) or self._begin(pod)
        policy = str(pod["spec"].get("restartPolicy") or "Always")
        reports: list[tuple[str, str, str]] = []
        while True:
            # The wall clock advances while this awaits, so each round reads it again.
            now = self._clock.now()
            ready = [run for run in self._stage(pod_run) if run.due is not None and run.due <= now]
            if not ready or phase(policy, pod_run.inits, pod_run.mains) in _FINAL:
                break
            for run in ready:
                reports += await self._advance(key, pod, pod_run, run, now)
        status = pod_status(
            pod, pod_run.inits, pod_run.mains, now=now, host_ip=self._address, pod_ip=pod_run.ip
        )
        await self._write(key, pod, status)
        for item in reports:
            await self._events.report(pod, *item)
        if status["phase"] in _FINAL:
            return None
        due_times = [run.due for run in self._stage(pod_run) if run.due is not None]
        return max(0.001, (min(due_times) - now).total_seconds()) if due_times else None

    def _begin(self, pod: dict[str, Any]) -> PodRun:
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
                self.logs.waiting(key, uid, run.state.reason)
        return pod_run

    def _stage(self, pod_run: PodRun) -> Iterable[ContainerRun]:
        """The containers that may run now. Those that just became ready get the end of their pull as due time."""
        index = next_init(pod_run.inits)
        runs = pod_run.mains if index is None else pod_run.inits
        for position in range(len(runs)) if index is None else (index,):
            run = runs[position]
            if run.due is None and isinstance(run.state, Waiting):
                behaviour = pod_run.behaviours[run.name]
                seconds = (1.0 if behaviour is None else behaviour.pull_seconds) * self._pace
                runs[position] = replace(run, due=self._clock.now() + timedelta(seconds=seconds))
        return list(runs) if index is None else [runs[index]]

    async def _advance(
        self, key: ObjectKey, pod: dict[str, Any], pod_run: PodRun, run: ContainerRun, now: datetime
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
            self.logs.write(log, run.result.log_at_end)
            self.logs.end(log)
            notify_ended(run, None, self._pace)
            moved = with_termination_message(
                moved, container_of(pod, run.name), self.logs.termination_message(log)
            )
        elif isinstance(moved.state, Waiting):
            self.logs.waiting(log, uid, moved.state.reason)
        pod_run.put(moved)
        return events_of(run, moved)

    def _start(
        self, pod: dict[str, Any], pod_run: PodRun, run: ContainerRun, behaviour: Behaviour, log: LogKey
    ) -> ContainerRun:
        result = behaviour.run(self._call(pod, pod_run, run))
        now = self._clock.now()
        later = [(now + timedelta(seconds=at * self._pace), text) for at, text in result.log_while]
        self.logs.start(log, pod["metadata"]["uid"], result.log_at_start, later)
        seconds = behaviour.duration_seconds if result.duration_seconds is None else result.duration_seconds
        result = replace(
            result, duration_seconds=seconds * self._pace if not math.isinf(seconds) else seconds
        )
        return started(run, result, behaviour, now)

    def _call(self, pod: dict[str, Any], pod_run: PodRun, run: ContainerRun) -> Any:
        environment = pod_run.environments.get(run.name) or Environment({}, frozenset())
        container = container_of(pod, run.name)
        return container_call(
            pod,
            container,
            env=environment.values,
            secret_env=environment.from_secrets,
            restarts=run.restarts,
            volumes=self.mounts.volumes(pod, container),
        )

    async def _facts(self, pod: dict[str, Any], pod_run: PodRun, run: ContainerRun) -> Facts:
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
            str(pod["spec"].get("restartPolicy") or "Always"),
            f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})",
        )

    async def _kill(self, key: ObjectKey, pod: dict[str, Any]) -> float | None:
        """End the containers once the termination time is over, write their status if a finalizer keeps the pod, and
        delete the pod.
        """
        uid = pod["metadata"]["uid"]
        pod_run = self._pod_runs.get(uid) or self._begin(pod)
        if pod_run.killed:
            return None
        now = self._clock.now()
        pod_run.ends = pod_run.ends or now + self._termination
        if now < pod_run.ends and (pod.get("status") or {}).get("phase") not in _FINAL:
            return (pod_run.ends - now).total_seconds()
        self._end_all(pod_run)
        for run in (*pod_run.inits, *pod_run.mains):
            pod_run.put(terminate(run, now))
            self.logs.end(LogKey(key.namespace, key.name, run.name))
        if pod["metadata"].get("finalizers") and (pod.get("status") or {}).get("phase") not in _FINAL:
            status = pod_status(
                pod, pod_run.inits, pod_run.mains, now=now, host_ip=self._address, pod_ip=pod_run.ip
            )
            await self._write(key, pod, {**status, "phase": "Failed"})
        await self._client.delete(PODS, key.name, key.namespace, uid=uid, grace_period_seconds=0)
        pod_run.killed = True
        return None

    async def _restore_logs(self, key: ObjectKey, pod: dict[str, Any]) -> None:
        """After a reboot: create the logs and volume contents of terminated containers again."""
        uid = pod["metadata"]["uid"]
        pod_run = self._pod_runs.get(uid)
        if pod_run is not None:
            return
        pod_run = self._begin(pod)
        for run in (*pod_run.inits, *pod_run.mains):
            behaviour = pod_run.behaviours[run.name]
            log = LogKey(key.namespace, key.name, run.name)
            if (
                isinstance(run.state, Terminated)
                and behaviour is not None
                and not self.logs.started(log, uid)
            ):
                pod_run.environments[run.name] = await self._lookup.environment(
                    pod, container_of(pod, run.name)
                )
                result = behaviour.run(self._call(pod, pod_run, run))
                between = b"".join(text for _, text in result.log_while)
                self.logs.start(log, uid, result.log_at_start + between + result.log_at_end)
                self.logs.end(log)
                if result.ended is not None:
                    result.ended(math.inf)

    def _behaviours(self, pod: dict[str, Any]) -> dict[str, Behaviour | None]:
        found: dict[str, Behaviour | None] = {}
        keeps_running = (pod["spec"].get("restartPolicy") or "Always") == "Always"
        plain = Behaviour(duration_seconds=math.inf if keeps_running else 2.0)
        for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
            call = container_call(pod, container)
            answers = (program.behaviour(call) for program in self.programs)
            unknown = None if self.programs else plain
            found[container["name"]] = next((item for item in answers if item is not None), unknown)
        return found

    async def _write(self, key: ObjectKey, pod: dict[str, Any], status: dict[str, Any]) -> bool:
        """Merge a status if it differs. The uid in the patch protects a new pod of the same name."""
        patch = status_patch(pod, status)
        if patch is None:
            return False
        written = await self._client.patch(PODS, key.name, patch, key.namespace, subresource="status")
        self.pods.observe(written)
        return True
