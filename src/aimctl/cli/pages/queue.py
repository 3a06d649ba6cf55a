"""The page of ``aimctl queue``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.cli.pages.answering import check_namespace, document, notes, read_leader, require_answer
from aimctl.cli.questions.leader import leaderless
from aimctl.cli.questions.queue import queue_of
from aimctl.cli.questions.reading import read_queue_lists
from aimctl.cli.rendering.levels import level_of
from aimctl.cli.rendering.screens import Page
from aimctl.cli.rendering.tables import Cell, blocks, paragraph, table
from aimctl.cli.rendering.values import duration, place
from aimctl.cli.suggestions import command
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.cli.connect import Connected
    from aimctl.cli.questions.answers import Facts
    from aimctl.cli.questions.queue import Entry, Queue

__all__ = ["queue_page", "rows_of", "slots"]

_WIDE = 100
"""Columns from which the names of Jobs are shown; they begin with the names of their templates."""


async def queue_page(
    link: Connected, namespace: str | None, discovery_limit: int | None, operator_namespace: str
) -> Page:
    """The queue; with a namespace only its entries, with their places in the whole queue.

    Raises:
        CommandError: the Jobs or the templates cannot be read.
    """
    here = namespace or link.info.namespace
    facts = await read_queue_lists(link.client, link.clock.now(), here, operator_namespace)
    for kinds in ((TEMPLATES, CLUSTER_TEMPLATES), (JOBS,)):
        require_answer([one for question, one in facts.answers.items() if question.resource in kinds])
    leader = await read_leader(link, operator_namespace)
    whole = queue_of(facts, discovery_limit or (leader.limit if leader is not None else None))
    shown = whole if namespace is None else whole.of_namespace(namespace)
    if namespace is not None and shown.empty:
        await check_namespace(link, namespace)
    counts: dict[str, Any] = {"slotsTaken": len(whole.running), "inLine": len(whole.waiting)}
    counts["leader"] = None if leader is None else leader.to_json()
    return Page(
        document("queue/v1", facts, counts | shown.to_json()),
        lambda width: rows_of(whole, shown, facts, operator_namespace, width),
        lambda width: [Text(), *paragraph(leader.text, width)] if leader is not None and leader.leads else (),
        notes=(*notes(facts), *leaderless(leader, operator_namespace)),
    )


def slots(taken: int, limit: int | None, *, partial: bool) -> str:
    """How many slots are taken of how many; None for an unknown number. With ``partial`` more may be taken."""
    count = f"at least {taken}" if partial else f"{taken}"
    if limit is not None:
        return f"{count} of {limit} discovery slots are taken"
    return f"{count} discovery {'slot is' if taken == 1 else 'slots are'} taken (limit unknown)"


def rows_of(
    whole: Queue, shown: Queue, facts: Facts, operator_namespace: str, width: int | None
) -> list[Text]:
    """A line about the whole queue, and the entries to show."""
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
        out += [Text(), *table(("PLACE", "WAITS FOR A SLOT", "FOR", "AWAITED BY"), rows, width)]
    for title, since, entries in (
        ("PAUSED, TRIED AGAIN", "IN", shown.later),
        ("CANNOT START", "FOR", shown.blocked),
    ):
        if entries:
            out += [Text(), *_with_causes((title, since, "AWAITED BY"), entries, facts, width)]
    if whole.unseen:
        templates = "1 template has" if whole.unseen == 1 else f"{whole.unseen} templates have"
        look = command(f"kubectl get deployment,lease -n {operator_namespace}")
        text = f"{templates} no status yet. Check that the operator is running: {look}"
        out += [Text(), *paragraph(text, width)]
    if whole.partial:
        text = "Only a part of the cluster could be read: other templates may be ahead in the queue."
        out += [Text(), *paragraph(text, width, style="yellow")]
    return out


def _with_causes(
    headers: Sequence[str], entries: Sequence[Entry], facts: Facts, width: int | None
) -> list[Text]:
    """A table; below the rows with the same cause, or without a width in the last column, the cause."""
    if width is None:
        return table((*headers, "WHY"), [[*_cells(one, facts), one.cause or "-"] for one in entries], width)
    head, *rows = blocks(
        [[Cell(header, "bold") for header in headers], *(_cells(one, facts) for one in entries)], width
    )
    by_cause: dict[str, list[Text]] = {}
    for row, one in zip(rows, entries, strict=True):
        by_cause.setdefault(one.cause, []).extend(row)
    out = list(head)
    for cause, lines in by_cause.items():
        out += [*lines, *(paragraph(cause, width, indent="  ", style="italic") if cause else [])]
    return out


def _headline(queue: Queue) -> str:
    waiting = "1 template waits" if len(queue.waiting) == 1 else f"{len(queue.waiting)} templates wait"
    taken = slots(len(queue.running), queue.limit, partial=queue.partial)
    counts = [taken, f"{queue.at_least}{waiting} for a slot"]
    if queue.later:
        counts.append(f"{queue.at_least}{len(queue.later)} {'is' if len(queue.later) == 1 else 'are'} paused")
    if queue.blocked:
        counts.append(f"{queue.at_least}{len(queue.blocked)} cannot start")
    text = f"{', '.join(counts)}."
    return text[0].upper() + text[1:]


def _cells(one: Entry, facts: Facts) -> list[Cell | str]:
    """The template, how long it has or waits for a slot or until it waits, and the services that wait for it."""
    cluster = one.kind == CLUSTER_TEMPLATES.kind
    template = f"{one.name} (cluster)" if cluster else place(one.namespace, one.name)
    seconds = facts.seconds_since(one.since) or facts.seconds_until(one.since)
    return [template, duration(seconds), ", ".join(one.awaited_by) or "-"]
