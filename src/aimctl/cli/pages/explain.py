"""The page of ``aimctl explain``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from rich.text import Text

from aimctl.api.kinds import CLUSTER_MODELS, CLUSTER_TEMPLATES, MODELS, OPERATOR_KINDS, TEMPLATES
from aimctl.cli.errors import CommandError
from aimctl.cli.exits import DONE, NOT_FOUND, NOT_READY
from aimctl.cli.kinds import did_you_mean, short_name
from aimctl.cli.pages.answering import document, notes, read_leader, require_answer
from aimctl.cli.pages.queue import slots
from aimctl.cli.questions.answers import Problem, Question, Trouble
from aimctl.cli.questions.explanation import explain
from aimctl.cli.questions.health import examine, unseen
from aimctl.cli.questions.leader import leaderless
from aimctl.cli.questions.pods import HAVE_PODS, has_log
from aimctl.cli.questions.queue import queue_of
from aimctl.cli.questions.reading import read, read_path, read_pod, read_queue_lists
from aimctl.cli.questions.remedies import advice, commands, explain_command
from aimctl.cli.rendering.levels import Level
from aimctl.cli.rendering.screens import Page
from aimctl.cli.rendering.tables import Cell, paragraph, table, walk
from aimctl.cli.rendering.values import clean, duration
from aimctl.cli.suggestions import command
from aimctl.kubetypes.quantity import readable_size
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.cli.connect import Connected
    from aimctl.cli.questions.answers import Facts
    from aimctl.cli.questions.explanation import Cause, Explanation
    from aimctl.cli.questions.health import Health
    from aimctl.cli.questions.queue import Queue

__all__ = ["explain_page", "not_found", "render"]

_CAUSES_SHOWN = 3
"""Causes whose message a table shows; JSON and YAML have all."""

_CANDIDATES_SHOWN = 20
"""Candidates that a table shows; JSON and YAML have all."""

_LOGS = 10
"""Causes for which it is found out whether there is a log."""


async def explain_page(
    link: Connected,
    kind: str,
    name: str,
    namespace: str,
    *,
    discovery_limit: int | None,
    operator_namespace: str,
) -> Page:
    """Why an object is in its state; the namespace is ignored for a cluster-scoped kind.

    Raises:
        CommandError: it does not exist or cannot be read.
    """
    resource = next(one for one in OPERATOR_KINDS if one.kind == kind)
    question = Question(resource, namespace if resource.namespaced else "", name)
    facts = await read_path(link.client, link.clock.now(), question, operator_namespace)
    item = facts.answers[question]
    if isinstance(item, Problem):
        await not_found(link, item)
    assert isinstance(item, Object)  # noqa: S101 - the answer to a question with a name
    found, queue = explain(item, facts, operator_namespace), None
    leader = await read_leader(link, operator_namespace)
    waiting = found.waiting_template
    if waiting is not None and not facts.seconds_until(waiting.retry_at):
        lists = await read_queue_lists(link.client, facts.now, question.namespace, operator_namespace)
        facts = replace(facts, answers={**facts.answers, **lists.answers})
        queue = _place(
            waiting, queue_of(lists, discovery_limit or (leader.limit if leader is not None else None))
        )
    logged = await _logged(link, found, facts, operator_namespace)
    suggested = {
        cause: commands(cause, found, operator_namespace, has_log=cause.reported.uid in logged)
        for cause in found.causes
    }
    causes = [cause.to_json() | {"commands": list(suggested[cause])} for cause in found.causes]
    return Page(
        document("explain/v1", facts, found.to_json() | {"causes": causes, "queue": queue}),
        lambda width: render(found, facts, suggested, queue, width),
        notes=(*notes(facts), *leaderless(leader, operator_namespace)),
        code=DONE if found.root.health.ready else NOT_READY,
    )


async def _logged(
    link: Connected, found: Explanation, facts: Facts, operator_namespace: str
) -> frozenset[str]:
    """The UIDs of the reported objects behind which a container has run, so that there is a log."""
    reported = {cause.reported.uid for cause in found.causes}
    objects = [
        item
        for answer in facts.answers.values()
        for item in (answer if isinstance(answer, tuple) else [answer])
        if isinstance(item, Object) and item.resource in HAVE_PODS and item.meta.uid in reported
    ]
    trails = await asyncio.gather(
        *(read_pod(link.client, facts.now, item, operator_namespace) for item in objects[:_LOGS])
    )
    pairs = zip(objects, trails, strict=False)
    return frozenset(item.meta.uid for item, trail in pairs if trail.found and has_log(trail.last))


def _place(waiting: Health, queue: Queue) -> dict[str, Any]:
    """The place of a template that waits for a slot; None if it is about to get one."""
    mine = next((one for one in queue.waiting if one.uid == waiting.uid), None)
    return {
        "place": mine.place if mine is not None else None,
        "inLine": len(queue.waiting),
        "slotsTaken": len(queue.running),
        "limit": queue.limit,
        "partial": queue.partial,
        "awaitedBy": list(mine.awaited_by) if mine is not None else [],
    }


async def not_found(link: Connected, problem: Problem) -> NoReturn:
    """Raise CommandError: why there is nothing to explain, and where an object of this name is."""
    if problem.trouble is not Trouble.ABSENT:
        require_answer([problem])
    question = problem.question
    pairs = ((TEMPLATES, CLUSTER_TEMPLATES), (MODELS, CLUSTER_MODELS))
    kinds = next((pair for pair in pairs if question.resource in pair), (question.resource,))
    lists = [Question(kind, fields=f"metadata.name={question.name}") for kind in kinds]
    beside = Question(question.resource, question.namespace)
    facts = await read(link.client, link.clock.now(), [*lists, beside])
    elsewhere = [examine(item) for one in lists for item in facts.list(one)]
    every = " -A" if question.resource.namespaced else ""
    listing = command(f"kubectl get {short_name(question.resource.kind)}{every}")
    hint = did_you_mean(question.name, [item.meta.name for item in facts.list(beside)])
    hint = hint or f"list them with: {listing}"
    if elsewhere:
        hint = f"there is one elsewhere: {explain_command(elsewhere[0])}"
    raise CommandError(f"there is no {unseen(problem).title}; {hint}", exit_code=NOT_FOUND)


def render(
    found: Explanation,
    facts: Facts,
    suggested: Mapping[Cause, Sequence[str]],
    queue: dict[str, Any] | None,
    width: int | None,
) -> list[Text]:
    """The object, the path, each cause with its message in full, and the candidates of a service."""
    root, gap = found.root.health, [Text()]
    out = paragraph(f"{root.title} is {root.state}.", width, style="bold")
    out += gap + _path(found, facts, width)
    groups: dict[tuple[str, ...], list[Cause]] = {}
    for cause in found.causes:
        key = (cause.health.kind, cause.health.reason, cause.health.message, cause.reported.message)
        groups.setdefault(key, []).append(cause)
    for alike in list(groups.values())[:_CAUSES_SHOWN]:
        out += gap + _cause(alike, width)
        if queue is not None and alike[0].reported == found.waiting_template:
            out += paragraph(_in_queue(queue), width, indent="  ")
        left = facts.seconds_until(alike[0].reported.retry_at)
        if left and not alike[0].reported.blocked:
            failed = alike[0].reported.reason == "DiscoveryFailed"
            sooner = ", and at once after a change of the template or its model" if failed else ""
            out += paragraph(f"It is tried again in {duration(left)}{sooner}.", width, indent="  ")
        out += [Text("  $ ").append(clean(command), "blue") for command in suggested[alike[0]]]
    if len(groups) > _CAUSES_SHOWN:
        more = f"More causes: {len(groups) - _CAUSES_SHOWN}; -o json has all of them with their messages."
        out += gap + paragraph(more, width)
    if not groups and root.message:
        out += gap + paragraph(root.message, width)
    # The only candidate is on the path, unless it was selected: then the table says why.
    worth = len(found.candidates) > 1 or any(one.selected for one in found.candidates)
    return out + (gap + _candidates(found, width) if worth else [])


def _path(found: Explanation, facts: Facts, width: int | None) -> list[Text]:
    rows: list[Sequence[Cell | str]] = []
    for node, first, rest in walk(found.root):
        one = node.health
        note = "above" if node.seen_above else one.note
        rows.append(
            (
                Cell(f"{one.title} ({note})" if note else one.title, "", first, rest),
                Cell(one.state, one.level.style),
                f"{one.condition}={one.status}" if one.condition else "-",
                one.reason or "-",
                duration(facts.seconds_since(one.since or one.created)),
            )
        )
    return table(("OBJECT", "STATE", "CONDITION", "REASON", "FOR"), rows, width)


def _cause(alike: Sequence[Cause], width: int | None) -> list[Text]:
    """The deepest object that states a reason, or several with one message; then the operator's report about it."""
    cause, *others = alike
    one, report = cause.health, cause.report
    heading = "In progress" if cause.proceeds else "Root cause"
    titles = ", ".join([one.title, *(other.health.title for other in others)])
    out = paragraph(f"{heading}: {titles} ({one.reason or one.state})", width, style="bold")
    out += paragraph(one.message, width, indent="  ")
    if one.progress is not None and one.level is not Level.BAD:
        percent, arrived, total = one.progress
        out += paragraph(
            f"Downloaded: {readable_size(arrived)} of {readable_size(total)} ({percent}%).",
            width,
            indent="  ",
        )
    if report is not None:
        out += paragraph(f"{report.title} reports {report.reason}:", width)
        out += paragraph(report.message, width, indent="  ")
    return out + (paragraph(advice(cause), width, indent="  ") if advice(cause) else [])


def _in_queue(queue: dict[str, Any]) -> str:
    taken = slots(queue["slotsTaken"], queue["limit"], partial=queue["partial"])
    if queue["place"] is None:
        return f"It is about to get a slot; {taken}."
    services = ", ".join(queue["awaitedBy"][:3])
    precedence = f"service {services} waits for it, which gives it precedence"
    place = f"It has place {queue['place']} of {queue['inLine']} in the discovery queue"
    return f"{place}; {taken}; {precedence if services else 'no service waits for it'}."


def _candidates(found: Explanation, width: int | None) -> list[Text]:
    """What became of each template. The step Selection excludes a template only because others fit as well."""
    rows = [
        (
            f"{one.name} (selected)" if one.selected else one.name,
            one.scope,
            "-" if one.dropped_by == "Selection" else one.dropped_by or "-",
            one.message or "-",
        )
        for one in found.candidates[:_CANDIDATES_SHOWN]
    ]
    out = table(("CANDIDATE", "SCOPE", "EXCLUDED BY", "WHY"), rows, width)
    more = len(found.candidates) - len(rows)
    return out + (paragraph(f"More candidates: {more}; -o json has all.", width) if more else [])
