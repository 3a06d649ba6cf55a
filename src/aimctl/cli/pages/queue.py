"""The page of ``aimctl queue``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.cli.pages.answering import check_namespace, document, notes, require_answer
from aimctl.cli.questions.leader import leader_of, lease_of
from aimctl.cli.questions.queue import queue_of
from aimctl.cli.questions.reading import read, read_queue_lists
from aimctl.cli.rendering.levels import level_of
from aimctl.cli.rendering.screens import Page
from aimctl.cli.rendering.tables import Cell, paragraph, table
from aimctl.cli.rendering.values import duration, place
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from aimctl.cli.connect import Connected
    from aimctl.cli.questions.answers import Facts
    from aimctl.cli.questions.leader import Leader
    from aimctl.cli.questions.queue import Entry, Queue

__all__ = ["queue_page"]

_WIDE = 100
"""Columns from which the names of Jobs are shown; they begin with the names of their templates."""


async def queue_page(
    link: Connected, namespace: str | None, discovery_limit: int, operator_namespace: str
) -> Page:
    """The queue; with a namespace only its entries, with their places in the whole queue.

    Raises:
        CommandError: the Jobs or the templates cannot be read.
    """
    here = namespace or link.info.namespace
    facts = await read_queue_lists(link.client, link.clock.now(), here, operator_namespace)
    for kinds in ((TEMPLATES, CLUSTER_TEMPLATES), (JOBS,)):
        require_answer([one for question, one in facts.answers.items() if question.resource in kinds])
    # Not part of the facts: without the right to read the Lease, nothing is missing from the queue.
    lease = await read(link.client, facts.now, [lease_of(operator_namespace)])
    leader = leader_of(lease, operator_namespace)
    whole = queue_of(facts, discovery_limit)
    shown = whole if namespace is None else whole.of_namespace(namespace)
    if namespace is not None and not (shown.running or shown.waiting or shown.later):
        await check_namespace(link, namespace)
    counts: dict[str, Any] = {"slotsTaken": len(whole.running), "inLine": len(whole.waiting)}
    counts["leader"] = None if leader is None else leader.to_json()
    return Page(
        document("queue/v1", facts, counts | shown.to_json()),
        lambda width: [
            *_rows(whole, shown, facts, operator_namespace, width),
            *_leader(leader, operator_namespace, width),
        ],
        notes=notes(facts),
    )


def _rows(whole: Queue, shown: Queue, facts: Facts, operator_namespace: str, width: int | None) -> list[Text]:
    out = paragraph(_headline(whole), width)
    if shown.running:
        count = 5 if width is None or width >= _WIDE else 4
        rows = [
            [*_cells(one, facts), one.job.meta.name if one.job is not None else "-"] for one in shown.running
        ]
        for row, one in zip(rows, shown.running, strict=True):
            row.insert(1, Cell(one.state, level_of(one.state).style))
        headers = ("HAS A SLOT", "JOB IS", "FOR", "AWAITED BY", "JOB")[:count]
        out += [Text(), *table(headers, [row[:count] for row in rows], width)]
    if shown.waiting:
        rows = [[str(one.place), *_cells(one, facts)] for one in shown.waiting]
        out += [Text(), *table(("PLACE", "WAITS", "FOR", "AWAITED BY"), rows, width)]
    if shown.later:
        rows = [_cells(one, facts) for one in shown.later]
        out += [Text(), *table(("WAITS AGAIN", "IN", "AWAITED BY"), rows, width)]
    if whole.unseen:
        templates = "1 template has" if whole.unseen == 1 else f"{whole.unseen} templates have"
        text = f"{templates} no status yet. Check that the operator is running:"
        out += [Text(), *paragraph(f"{text} kubectl get deployment,lease -n {operator_namespace}", width)]
    if whole.partial:
        text = "Only a part of the cluster could be read: other templates may be ahead in the queue."
        out += [Text(), *paragraph(text, width, style="yellow")]
    return out


def _leader(leader: Leader | None, operator_namespace: str, width: int | None) -> list[Text]:
    """Which manager assigns the slots."""
    if leader is None:
        return []
    if leader.leads:
        return [Text(), *paragraph(leader.text, width)]
    command = f"kubectl get deployment,lease -n {operator_namespace}"
    return [Text(), *paragraph(leader.text, width, style="yellow"), Text("  $ ").append(command, "blue")]


def _headline(queue: Queue) -> str:
    waiting = "1 template waits" if len(queue.waiting) == 1 else f"{len(queue.waiting)} templates wait"
    taken = f"{len(queue.running)} of {queue.limit} discovery slots are taken"
    text = f"{queue.at_least}{taken}, {queue.at_least}{waiting}."
    return text[0].upper() + text[1:]


def _cells(one: Entry, facts: Facts) -> list[Cell | str]:
    """The template, how long it has or waits for a slot or until it waits, and the services that wait for it."""
    cluster = one.kind == CLUSTER_TEMPLATES.kind
    template = f"{one.name} (cluster)" if cluster else place(one.namespace, one.name)
    seconds = facts.seconds_since(one.since) or facts.seconds_until(one.since)
    return [template, duration(seconds), ", ".join(one.awaited_by) or "-"]
