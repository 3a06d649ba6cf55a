"""The simulated node: scheduler and kubelet of a handful of machines that run nothing.

It acts through the API only, so it serves the embedded cluster and a real kube-apiserver alike. What
containers do is for the :class:`~aimctl.devcluster.node.programs.Program` list to say; the walk of a container
is decided in :mod:`aimctl.devcluster.node.containers`, the pod's status in :mod:`aimctl.devcluster.node.pod_status`,
the machine in :mod:`aimctl.devcluster.node.scheduling`. This module only carries out.

Invariants:
    * A pod is handled by one task at a time, and a status is written only when it says something new.
    * Logs are in the book before the status that tells of them is written: who sees a container ended can
      read all it wrote.
    * A pod is bound only to a machine with room: bindings count from the moment they are answered.
    * A restart of the simulation is a reboot of the machines: running containers start anew, ended ones stay
      ended and their logs are made again.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.logs import LogKey
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
from aimctl.devcluster.node.logs import LogBook
from aimctl.devcluster.node.pod_life import Life, container_of, events_of, note_end, with_message
from aimctl.devcluster.node.pod_status import (
    fresh_runs,
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
_UNSCHEDULABLE = "0/{count} nodes are available: {count} node(s) didn't match Pod's node affinity/selector."


@final
class SimulatedNodes:
    """Registers machines and runs the pods that are bound to them.

    Args:
        client: how to act.
        clock: time.
        machines: registered at the start; :meth:`add_machine` and :meth:`remove_machine` change them later.
        programs: decide what containers do; the first that answers counts. If none answers, the image does not exist;
            without any program, every image exists and every container succeeds.
        events: where Events go.
        schedule: whether to bind pending pods too; False where a scheduler runs.
        pace: multiplies every pull and run time of the programs; 0 makes them instant.
        termination_seconds: from a pod's deletion until its containers have ended, before ``pace``.
        heartbeat_seconds: period of Lease and status renewal; None for none.
        address: the machines' InternalIP.
        kubelet_port: where a :class:`~aimctl.devcluster.node.kubelet.KubeletServer` answers for the logs, if any.
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
        logs: LogBook | None = None,
    ) -> None:
        self.logs = logs or LogBook(clock=clock)
        self.programs = list(programs)
        self._client = client
        self._clock = clock
        self._events = events
        self._schedule_pods = schedule
        self._pace = pace
        self._termination = timedelta(seconds=termination_seconds * pace)
        self._address = address
        self._lookup = Lookup(client)
        self._lives: dict[str, Life] = {}
        self._homeless: dict[ObjectKey, None] = {}
        self._next_ip = 0
        self.worker: Worker[ObjectKey] = Worker("node", self._reconcile, clock=clock)
        self.pods: Informer[dict[str, Any]] = Informer(
            client, PODS, clock=clock, project=body_of, on_change=self._pod_changed
        )
        self.mounts = Mounts(client, clock=clock, on_change=self._retry_homeless)
        self.registrar = Registrar(
            client,
            clock=clock,
            machines=machines,
            on_change=self._retry_homeless,
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
        """Register one more machine, or change one of the same name. Waiting pods are looked at again."""
        await self.registrar.add(machine)

    async def remove_machine(self, name: str) -> None:
        """Take a machine away: its Node is deleted and its pods are gone with it, without grace."""
        for key, pod in list(self.pods.values().items()):
            if pod["spec"].get("nodeName") == name:
                await self._client.delete(
                    PODS, key.name, key.namespace, uid=pod["metadata"]["uid"], grace_period_seconds=0
                )
        await self.registrar.remove(name)

    def _pod_changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        released = self.registrar.account(old, new)
        if new is None and old is not None:
            uid = old["metadata"]["uid"]
            self._end_all(self._lives.pop(uid, None))
            self._homeless.pop(key, None)
            self.logs.forget(key.namespace, key.name, uid)
        else:
            self.worker.add(key)
        if released:
            self._retry_homeless()

    def _end_all(self, life: Life | None) -> None:
        """The containers that still run are gone now: tell their programs."""
        for run in () if life is None else (*life.inits, *life.mains):
            note_end(run, self._clock.now(), self._pace)

    def _retry_homeless(self) -> None:
        for key in self._homeless:
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
        self._homeless.pop(key, None)
        if not self.registrar.owns(node):
            return None
        if pod["metadata"].get("deletionTimestamp"):
            return await self._kill(key, pod)
        if (pod.get("status") or {}).get("phase") in _FINAL:
            await self._remember_logs(key, pod)
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
                refusal = self.mounts.refusal(pod)
                if refusal:
                    node, message = "", f"0/{total} nodes are available: {refusal}."
        if not node:
            await self._refuse(key, pod, message)
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

    async def _refuse(self, key: ObjectKey, pod: dict[str, Any], message: str) -> None:
        self._homeless[key] = None
        status = unschedulable_status(pod, message, self._clock.now())
        if await self._write(key, pod, status):
            await self._events.report(pod, "Warning", "FailedScheduling", message)

    async def _live(self, key: ObjectKey, pod: dict[str, Any]) -> float | None:
        life = self._lives.get(pod["metadata"]["uid"]) or self._begin(pod)
        policy = str(pod["spec"].get("restartPolicy") or "Always")
        told: list[tuple[str, str, str]] = []
        while True:
            # The wall clock moves while we await, so it is read anew for every round.
            now = self._clock.now()
            ready = [run for run in self._stage(life) if run.due is not None and run.due <= now]
            if not ready or phase(policy, life.inits, life.mains) in _FINAL:
                break
            for run in ready:
                told += await self._advance(key, pod, life, run, now)
        status = pod_status(pod, life.inits, life.mains, now=now, host_ip=self._address, pod_ip=life.ip)
        await self._write(key, pod, status)
        for item in told:
            await self._events.report(pod, *item)
        if status["phase"] in _FINAL:
            return None
        dues = [run.due for run in self._stage(life) if run.due is not None]
        return max(0.001, (min(dues) - now).total_seconds()) if dues else None

    def _begin(self, pod: dict[str, Any]) -> Life:
        self._next_ip += 1
        uid = pod["metadata"]["uid"]
        known = (pod.get("status") or {}).get("podIP")
        third, fourth = divmod(self._next_ip % 65000, 250)
        life = self._lives[uid] = Life(
            known or f"10.244.{third}.{fourth + 2}",
            fresh_runs(pod, "initContainers"),
            fresh_runs(pod, "containers"),
            self._behaviours(pod),
        )
        for run in (*life.inits, *life.mains):
            if isinstance(run.state, Waiting):
                key = LogKey(pod["metadata"]["namespace"], pod["metadata"]["name"], run.name)
                self.logs.waiting(key, uid, run.state.reason)
        return life

    def _stage(self, life: Life) -> Iterable[ContainerRun]:
        """The containers whose turn it is; those that just got it are given the end of their pull."""
        index = next_init(life.inits)
        runs = life.mains if index is None else life.inits
        for position in range(len(runs)) if index is None else (index,):
            run = runs[position]
            if run.due is None and isinstance(run.state, Waiting):
                behaviour = life.behaviours[run.name]
                seconds = (1.0 if behaviour is None else behaviour.pull_seconds) * self._pace
                runs[position] = replace(run, due=self._clock.now() + timedelta(seconds=seconds))
        return list(runs) if index is None else [runs[index]]

    async def _advance(
        self, key: ObjectKey, pod: dict[str, Any], life: Life, run: ContainerRun, now: datetime
    ) -> list[tuple[str, str, str]]:
        """Move one container by a step; gives the Events to report."""
        log = LogKey(key.namespace, key.name, run.name)
        uid = pod["metadata"]["uid"]
        facts = await self._facts(pod, life, run)
        moved = step(run, facts, now)
        behaviour = life.behaviours[run.name]
        if isinstance(moved.state, Running) and not isinstance(run.state, Running) and behaviour is not None:
            moved = self._start(pod, life, moved, behaviour, log)
        elif isinstance(run.state, Running) and run.result is not None:
            self.logs.write(log, run.result.log_at_end)
            self.logs.end(log)
            note_end(run, None, self._pace)
            moved = with_message(moved, container_of(pod, run.name), self.logs.last_words(log))
        elif isinstance(moved.state, Waiting):
            self.logs.waiting(log, uid, moved.state.reason)
        life.put(moved)
        return events_of(run, moved)

    def _start(
        self, pod: dict[str, Any], life: Life, run: ContainerRun, behaviour: Behaviour, log: LogKey
    ) -> ContainerRun:
        result = behaviour.run(self._call(pod, life, run))
        now = self._clock.now()
        later = [(now + timedelta(seconds=at * self._pace), text) for at, text in result.log_while]
        self.logs.start(log, pod["metadata"]["uid"], result.log_at_start, later)
        seconds = behaviour.duration_seconds if result.duration_seconds is None else result.duration_seconds
        result = replace(
            result, duration_seconds=seconds * self._pace if not math.isinf(seconds) else seconds
        )
        return started(run, result, behaviour, now)

    def _call(self, pod: dict[str, Any], life: Life, run: ContainerRun) -> Any:
        environment = life.environments.get(run.name) or Environment({}, frozenset())
        container = container_of(pod, run.name)
        return container_call(
            pod,
            container,
            env=environment.values,
            secret_env=environment.from_secrets,
            restarts=run.restarts,
            volumes=self.mounts.volumes(pod, container),
        )

    async def _facts(self, pod: dict[str, Any], life: Life, run: ContainerRun) -> Facts:
        metadata = pod["metadata"]
        behaviour = life.behaviours[run.name]
        starting = isinstance(run.state, Waiting)
        credentials = False
        if starting and behaviour is not None and behaviour.needs_pull_secret:
            credentials = await self._lookup.credentials(pod, run.image)
        error = ""
        if starting:
            environment = await self._lookup.environment(pod, container_of(pod, run.name))
            life.environments[run.name] = environment
            error = environment.error
        return Facts(
            behaviour,
            credentials,
            error,
            str(pod["spec"].get("restartPolicy") or "Always"),
            f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})",
        )

    async def _kill(self, key: ObjectKey, pod: dict[str, Any]) -> float | None:
        """End the containers in their time, say so if somebody holds the pod by a finalizer, and let it go."""
        uid = pod["metadata"]["uid"]
        life = self._lives.get(uid) or self._begin(pod)
        if life.killed:
            return None
        now = self._clock.now()
        life.ends = life.ends or now + self._termination
        if now < life.ends and (pod.get("status") or {}).get("phase") not in _FINAL:
            return (life.ends - now).total_seconds()
        self._end_all(life)
        for run in (*life.inits, *life.mains):
            life.put(terminate(run, now))
            self.logs.end(LogKey(key.namespace, key.name, run.name))
        if pod["metadata"].get("finalizers") and (pod.get("status") or {}).get("phase") not in _FINAL:
            status = pod_status(pod, life.inits, life.mains, now=now, host_ip=self._address, pod_ip=life.ip)
            await self._write(key, pod, {**status, "phase": "Failed"})
        await self._client.delete(PODS, key.name, key.namespace, uid=uid, grace_period_seconds=0)
        life.killed = True
        return None

    async def _remember_logs(self, key: ObjectKey, pod: dict[str, Any]) -> None:
        """After a reboot: make what containers that ended before it left, logs and volumes, once more."""
        uid = pod["metadata"]["uid"]
        life = self._lives.get(uid)
        if life is not None:
            return
        life = self._begin(pod)
        for run in (*life.inits, *life.mains):
            behaviour = life.behaviours[run.name]
            log = LogKey(key.namespace, key.name, run.name)
            if (
                isinstance(run.state, Terminated)
                and behaviour is not None
                and not self.logs.started(log, uid)
            ):
                life.environments[run.name] = await self._lookup.environment(pod, container_of(pod, run.name))
                result = behaviour.run(self._call(pod, life, run))
                between = b"".join(text for _, text in result.log_while)
                self.logs.start(log, uid, result.log_at_start + between + result.log_at_end)
                self.logs.end(log)
                if result.ended is not None:
                    result.ended(math.inf)

    def _behaviours(self, pod: dict[str, Any]) -> dict[str, Behaviour | None]:
        found: dict[str, Behaviour | None] = {}
        for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
            call = container_call(pod, container)
            answers = (program.behaviour(call) for program in self.programs)
            unknown = None if self.programs else Behaviour()
            found[container["name"]] = next((item for item in answers if item is not None), unknown)
        return found

    async def _write(self, key: ObjectKey, pod: dict[str, Any], status: dict[str, Any]) -> bool:
        """Merge a status in, unless it says nothing new. The uid keeps it off a pod of the same name."""
        patch = status_patch(pod, status)
        if patch is None:
            return False
        written = await self._client.patch(PODS, key.name, patch, key.namespace, subresource="status")
        self.pods.observe(written)
        return True
