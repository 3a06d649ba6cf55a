"""What there is to tell about Jobs, their pods, and places in the discovery queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.cli.facts import Denied, ListAll
from aimctl.cli.lines import Level, Line, place, span
from aimctl.cli.queue import read_queue
from aimctl.cli.told import newest, unreadable
from aimctl.domain.naming import DOWNLOAD, LABEL_COMPONENT, LABEL_TEMPLATE, label_value
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.builtin import JOBS, PODS

if TYPE_CHECKING:
    from aimctl.cli.facts import Book
    from aimctl.runtime.kube import Object

__all__ = ["discovery_job", "download_job", "job_line", "slot_line"]


def discovery_job(book: Book, template: Object[Any]) -> Object[Any] | Line | None:
    """The template's newest discovery Job; a line when Jobs may not be read."""
    namespace = template.meta.namespace or book.facts.operator_namespace
    return _own_job(book, template, namespace, f"{LABEL_TEMPLATE}={label_value(template.meta.name)}")


def download_job(book: Book, cache: Object[Any]) -> Object[Any] | Line | None:
    """The model cache's newest download Job; a line when Jobs may not be read."""
    return _own_job(book, cache, cache.meta.namespace, f"{LABEL_COMPONENT}={DOWNLOAD}")


def _own_job(book: Book, owner: Object[Any], namespace: str, labels: str) -> Object[Any] | Line | None:
    answer = book.answer(ListAll(JOBS, namespace, labels))
    if isinstance(answer, Denied):
        return unreadable(JOBS, namespace, "", answer)
    items = answer if isinstance(answer, tuple) else ()
    return newest(tuple(job for job in items if any(one.uid == owner.meta.uid for one in job.meta.owners)))


def job_line(book: Book, job: Object[Any], what: str, *, with_pods: bool = True) -> Line:
    """A Job and, while it is unfinished, its newest pod."""
    meta, view = job.meta, job.view
    ended = find_condition(view.status.conditions, "Failed") if view.failed else None
    logs = book.kubectl("logs", f"job/{meta.name}", "--tail=20", namespace=meta.namespace)
    state, level, reason, message = "Waiting", Level.WAITS, "", "no container of it has started"
    children: tuple[Line, ...] = ()
    commands: tuple[str, ...] = (logs,)
    if view.complete:
        state, level, message, commands = "Complete", Level.GOOD, "", ()
    elif view.failed:
        state, level = "Failed", Level.BAD
        reason = (ended.reason if ended is not None else "") or "Failed"
        message = (ended.message if ended is not None else "") or "it failed"
    else:
        if view.status.ready or view.status.failed:
            state, level, message = "Running", Level.BUSY, ""
        if view.status.failed:
            message = f"{view.status.failed} attempts failed; it is tried again"
        children = _pods(book, job) if with_pods else ()
        if state == "Waiting":
            commands = (book.kubectl("describe", "job", meta.name, namespace=meta.namespace),)
    return Line(
        "Job",
        meta.namespace,
        meta.name,
        state,
        level,
        reason,
        message,
        note=what,
        created=meta.creation_timestamp,
        commands=commands,
        children=children,
    )


def _pods(book: Book, job: Object[Any]) -> tuple[Line, ...]:
    pods = book.list(PODS, job.meta.namespace, labels=f"job-name={job.meta.name}")
    last = newest(tuple(pod for pod in pods if any(one.uid == job.meta.uid for one in pod.meta.owners)))
    line = None if last is None else _pod_line(book, last)
    return () if line is None or line.level is Level.BUSY else (line,)


def _pod_line(book: Book, pod: Object[Any]) -> Line:
    meta = pod.meta
    status = pod.view.status
    phase = status.phase or "Pending"
    level = {"Running": Level.BUSY, "Succeeded": Level.GOOD, "Failed": Level.BAD}.get(phase, Level.WAITS)
    reason, message = status.reason or "", status.message or ""
    for item in pod.view.container_statuses:
        waiting, ended = item.state.waiting, item.state.terminated
        if waiting is not None and waiting.reason not in {None, "PodInitializing", "ContainerCreating"}:
            reason, message = waiting.reason or "", waiting.message or ""
            level = Level.BAD
        elif ended is not None and ended.exit_code:
            reason, message = ended.reason or "Error", ended.message or f"exit code {ended.exit_code}"
            level = Level.BAD
    scheduled = find_condition(status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        reason, message = scheduled.reason or "Unschedulable", f"no node takes it: {scheduled.message or ''}"
        level = Level.BAD
    return Line(
        "Pod",
        meta.namespace,
        meta.name,
        phase,
        level,
        reason,
        message,
        created=meta.creation_timestamp,
        commands=(book.kubectl("describe", "pod", meta.name, namespace=meta.namespace),),
    )


def slot_line(book: Book, template: Object[Any]) -> Line:
    """The template's place in the discovery queue."""
    queue = read_queue(book, template.meta.namespace)
    own = queue.place_of(template.meta.uid)
    taken = f"{queue.at_least}{len(queue.running)} of {queue.limit} slots are taken"
    if own is None:
        name, message = "", f"it is about to get one; {taken}"
    else:
        name = f"place {own.place} of {len(queue.waiting)}"
        others = len(queue.running)
        longest = f", the longest for {span(queue.running[0].seconds)}" if others else ""
        who = ", ".join(own.awaited_by[:3])
        awaited = f"service {who} waits for it, which puts it first" if who else "no service waits for it"
        message = f"{taken}{longest}; {awaited}"
    if queue.partial:
        message += "; only a part of the cluster could be read, so others may be before it"
    return Line(
        "DiscoverySlot",
        "",
        name,
        "Waiting",
        Level.WAITS,
        "AwaitingDiscovery",
        message,
        note=place(template.meta.namespace, template.meta.name),
        commands=(book.aimctl("queue"),),
    )
