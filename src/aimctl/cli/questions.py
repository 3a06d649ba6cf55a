"""``aimctl status``, ``explain`` and ``queue``: gather, tell, show, and end with a code that says how it is.

The codes are those of :mod:`aimctl.cli.exits`. They work with a person's own rights: what may not be read is left out,
and the notes say what that was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import (
    CLUSTER_MODELS,
    CLUSTER_TEMPLATES,
    INFERENCE_SERVICES,
    MODELS,
    OPERATOR_KINDS,
    TEMPLATES,
)
from aimctl.cli import CommandError
from aimctl.cli.connect import ask, connected, in_words
from aimctl.cli.exits import DONE, FAILED, FORBIDDEN, NOT_FOUND, NOT_READY
from aimctl.cli.facts import Book, Denied, Facts, ListAll, Unread, Unserved
from aimctl.cli.gather import follow, put
from aimctl.cli.kindwords import short_name
from aimctl.cli.lines import place, span
from aimctl.cli.output import Format, Page, Screen, watch
from aimctl.cli.overview import CLUSTER, OWN, Overview, read_overview
from aimctl.cli.queue import Queue, read_queue
from aimctl.cli.render import explanation, paragraph, summary, table, tree
from aimctl.cli.rights import asking_for, missing_rights, rights_json
from aimctl.cli.story import Story, explain
from aimctl.kubetypes.builtin import CORE_EVENTS, JOBS
from aimctl.runtime.clock import format_time
from aimctl.runtime.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rich.text import Text

    from aimctl.cli.connect import Connected, Connection
    from aimctl.cli.kindwords import KindWord
    from aimctl.cli.lines import Line
    from aimctl.runtime.kube import Resource

__all__ = ["Asked", "run_explain", "run_queue", "run_status"]

_WIDE = 100
"""Columns from which on there is room for the names of Jobs, which can be told from those of their templates."""

_SENTENCE = 160
"""Characters that a terminal gets of each message in the first sentence; in full they stand below it."""

_SILENT = frozenset({INFERENCE_SERVICES.group_resource})
"""Kinds that a cluster may do without."""


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """What the questions' flags have in common.

    Attributes:
        connection: which cluster.
        namespace: None for the kubeconfig's.
        all_namespaces: all of them, and the cluster.
        output: how the answer is written.
        watch: again at each change.
        operator_namespace: where Jobs of cluster templates run.
        discovery_limit: slots, as far as known.
    """

    connection: Connection
    namespace: str | None = None
    all_namespaces: bool = False
    output: Format = Format.table
    watch: bool = False
    operator_namespace: str = "kaiwo-system"
    discovery_limit: int = 10


def run_status(asked: Asked, name: str | None) -> int:
    """Show the overview; the exit code."""
    return ask(lambda: _run(asked, lambda link, facts: _status(asked, name or "", link, facts)))


def run_explain(asked: Asked, kind: KindWord, name: str) -> int:
    """Show why one object is as it is; the exit code."""
    return ask(lambda: _run(asked, lambda link, facts: _explain(asked, kind, name, link, facts)))


def run_queue(asked: Asked) -> int:
    """Show the discovery queue; the exit code."""
    return ask(lambda: _run(asked, lambda link, facts: _queue(asked, link, facts)))


async def _run(asked: Asked, look: Callable[[Connected, Facts], Awaitable[Page]]) -> int:
    async with connected(asked.connection) as link:
        screen = Screen(asked.output)

        async def page() -> Page:
            facts = Facts(
                link.clock.now(),
                operator_namespace=asked.operator_namespace,
                discovery_limit=asked.discovery_limit,
                flags=asked.connection.flags,
            )
            try:
                return await look(link, facts)
            except KubeError as error:
                raise CommandError(in_words(error, link.info.server)) from error

        if asked.watch:
            return await watch(page, screen, link.clock)
        answer = await page()
        screen.show(answer)
        return answer.code


# ---- status


async def _status(asked: Asked, name: str, link: Connected, facts: Facts) -> Page:
    namespace = "" if asked.all_namespaces else asked.namespace or link.info.namespace
    overview, facts = await follow(link.client, facts, lambda book: read_overview(book, namespace, name))
    lists = {kind: facts.answers.get(ListAll(kind, namespace)) for kind in OWN}
    _must_answer(facts, lists, asked.all_namespaces)
    if name and not overview.roots:
        _may_be_hidden(name, [*lists.values(), *(facts.answers.get(ListAll(kind)) for kind in CLUSTER)])
        where = "any namespace or the cluster" if not namespace else f"namespace {namespace!r} or the cluster"
        raise CommandError(
            f"nothing of ours is named {name!r} in {where}; name another namespace with -n, or look at all with -A",
            exit_code=NOT_FOUND,
        )
    if not overview.ready:
        code = NOT_READY
    elif any(isinstance(answer, Denied) for answer in lists.values()):
        code = FORBIDDEN
    elif any(isinstance(answer, Unread | Unserved) for answer in lists.values()):
        code = FAILED
    else:
        code = DONE
    data = _head("status", facts) | {"ready": code == DONE} | overview.to_json() | _trouble(facts)
    return Page(
        data,
        lambda width: tree(overview.groups(), width, facts.seconds_since),
        _notes(facts),
        code,
        worst_first=lambda width: tree(
            overview.groups_worst_first(), width, facts.seconds_since, again="told elsewhere"
        ),
        foot=lambda width: _foot(overview, facts, width),
    )


def _may_be_hidden(name: str, answers: Sequence[Any]) -> None:
    """What was not found may be where nothing may, or could, be read.

    Raises:
        CommandError: there is such a place.
    """
    rights = [answer.right for answer in answers if isinstance(answer, Denied)]
    if rights:
        raise CommandError(
            f"nothing of ours that you may see is named {name!r}. {' '.join(missing_rights(rights))}",
            exit_code=FORBIDDEN,
        )
    unread = [answer.message for answer in answers if isinstance(answer, Unread)]
    if unread:
        raise CommandError(f"nothing of ours that can be read is named {name!r}: {unread[0]}")


def _must_answer(facts: Facts, lists: dict[Resource[Any], Any], every: bool) -> None:
    """Some list has to be there, or there is nothing to show.

    Raises:
        CommandError: none is.
    """
    answers = list(lists.values())
    if all(isinstance(answer, Unserved) for answer in answers):
        raise CommandError(_not_installed([kind.group_resource for kind in lists]))
    if all(isinstance(answer, Denied | Unserved) for answer in answers):
        rights = [answer.right for answer in answers if isinstance(answer, Denied)]
        hint = " Or name a namespace that you may see with -n." if every else ""
        raise CommandError(
            f"forbidden: you may not {rights[0]}. {asking_for(rights)}{hint}", exit_code=FORBIDDEN
        )
    if all(isinstance(answer, Unread) for answer in answers):
        raise CommandError(facts.unread[0])


def _not_installed(names: Sequence[str]) -> str:
    return (
        f"the cluster does not serve {', '.join(names)}: install the CRDs with"
        " 'aimctl manifests crd | kubectl apply --server-side -f -'"
    )


def _foot(overview: Overview, facts: Facts, width: int | None) -> list[Text]:
    from rich.text import Text

    text = summary(overview.states())
    where = f"in namespace {overview.namespace!r}" if overview.namespace else "in the cluster"
    where += ", as far as you may see" if facts.denied else ""
    out = [Text()] if overview.roots else []
    out += paragraph(text or f"No services, templates, caches or models {where}.", width)
    rest = summary(overview.elsewhere)
    if rest:
        out += paragraph(f"Not shown: {rest} (aimctl status -A)", width)
    elif not text and overview.namespace:
        out += paragraph("Other namespaces: aimctl status -A", width)
    ill = overview.worst
    if ill is not None:
        command = Book(facts).aimctl("explain", short_name(ill.kind), ill.name, namespace=ill.namespace)
        out.append(Text("Why: ").append(command, "blue"))
    return out


# ---- explain


async def _explain(asked: Asked, kind: KindWord, name: str, link: Connected, facts: Facts) -> Page:
    resource = next(one for one in OPERATOR_KINDS if one.kind == kind.kind)
    namespace = (asked.namespace or link.info.namespace) if resource.namespaced else ""
    story, facts = await follow(link.client, facts, lambda book: explain(book, resource, name, namespace))
    if story.line is None:
        await _no_story(resource, name, namespace, story, link)
    code = DONE if story.line is not None and story.line.good else NOT_READY
    data = _head("explain", facts) | story.to_json() | _trouble(facts)
    return Page(
        data,
        lambda width: _story_rows(story, story.line, facts, width),
        _notes(facts),
        code,
        worst_first=lambda width: _story_rows(story, story.line and story.line.worst_first(), facts, width),
    )


async def _no_story(
    resource: Resource[Any], name: str, namespace: str, story: Story, link: Connected
) -> None:
    """Say why there is nothing to tell.

    Raises:
        CommandError: always.
    """
    shown = f"{resource.kind} {place(namespace, name)}"
    match story.answer:
        case Denied():
            right = story.answer.right
            raise CommandError(f"forbidden: you may not {right}. {asking_for([right])}", exit_code=FORBIDDEN)
        case Unserved():
            raise CommandError(_not_installed([resource.group_resource]))
        case Unread():
            raise CommandError(story.answer.message)
        case _:
            hint = await _elsewhere(resource, name, link)
            raise CommandError(f"there is no {shown}{hint}", exit_code=NOT_FOUND)


async def _elsewhere(resource: Resource[Any], name: str, link: Connected) -> str:
    """Where else something of this name is, as far as that may be seen."""
    siblings: dict[Resource[Any], Resource[Any]] = {
        TEMPLATES: CLUSTER_TEMPLATES,
        CLUSTER_TEMPLATES: TEMPLATES,
        MODELS: CLUSTER_MODELS,
        CLUSTER_MODELS: MODELS,
    }
    kinds: list[Resource[Any]] = [resource, *([siblings[resource]] if resource in siblings else [])]
    questions = [ListAll(kind, "", fields=f"metadata.name={name}") for kind in kinds]
    answers = await put(link.client, questions)
    found = [item for answer in answers.values() if isinstance(answer, tuple) for item in answer]
    if not found:
        return (
            f"; list them with: kubectl get {short_name(resource.kind)}{' -A' if resource.namespaced else ''}"
        )
    item = found[0]
    where = f" -n {item.meta.namespace}" if item.meta.namespace else ""
    return f"; there is one elsewhere: aimctl explain {short_name(item.resource.kind)} {name}{where}"


def _story_rows(story: Story, line: Line | None, facts: Facts, width: int | None) -> list[Text]:
    from rich.text import Text

    rows = paragraph(story.sentence(None if width is None else _SENTENCE), width, style="bold")
    if line is not None:
        rows += [Text(), *explanation(line, width, facts.seconds_since)]
    return rows


# ---- queue


async def _queue(asked: Asked, link: Connected, facts: Facts) -> Page:
    namespace = asked.namespace or link.info.namespace
    queue, facts = await follow(link.client, facts, lambda book: read_queue(book, namespace))
    jobs = [answer for question, answer in facts.answers.items() if question.resource == JOBS]
    templates = [answer for question, answer in facts.answers.items() if question.resource == TEMPLATES]
    if all(isinstance(answer, Unserved) for answer in templates):
        raise CommandError(_not_installed([TEMPLATES.group_resource, CLUSTER_TEMPLATES.group_resource]))
    for answers in (templates, jobs):
        if answers and all(isinstance(answer, Denied) for answer in answers):
            right = next(answer.right for answer in answers if isinstance(answer, Denied))
            raise CommandError(f"forbidden: you may not {right}. {asking_for([right])}", exit_code=FORBIDDEN)
    of_cluster = [
        answer for question, answer in facts.answers.items() if question.resource == CLUSTER_TEMPLATES
    ]
    for answers in (templates + of_cluster, jobs):
        unread = [answer.message for answer in answers if isinstance(answer, Unread)]
        if unread and not any(isinstance(answer, tuple) for answer in answers):
            raise CommandError(unread[0])
    shown = queue
    if asked.namespace is not None:
        shown = replace(
            queue,
            running=tuple(one for one in queue.running if one.namespace == namespace),
            waiting=tuple(one for one in queue.waiting if one.template.meta.namespace == namespace),
        )
    counts = {"slotsTaken": len(queue.running), "inLine": len(queue.waiting)}
    data = _head("queue", facts) | counts | shown.to_json() | _trouble(facts)
    return Page(data, lambda width: _queue_rows(queue, shown, facts, width), _notes(facts))


def _queue_rows(queue: Queue, shown: Queue, facts: Facts, width: int | None) -> list[Text]:
    from rich.text import Text

    wait = "1 template waits" if len(queue.waiting) == 1 else f"{len(queue.waiting)} templates wait"
    taken = f"{queue.at_least}{len(queue.running)} of {queue.limit} discovery slots are taken"
    headline = f"{taken}, {queue.at_least}{wait}."
    rows = paragraph(headline[0].upper() + headline[1:], width)
    if shown.running:
        running: list[Sequence[str | Text]] = [
            (
                _template(one.kind, one.namespace, one.name),
                Text(one.state, "cyan" if one.state == "Running" else "yellow"),
                span(one.seconds),
                ", ".join(one.awaited_by) or "-",
                one.job.meta.name,
            )
            for one in shown.running
        ]
        headers = ("HAS A SLOT", "JOB IS", "FOR", "AWAITED BY", "JOB")
        shows_job = width is None or width >= _WIDE
        rows += [Text(), *table(*_columns(headers, running, len(headers) - (not shows_job)), width)]
    if shown.waiting:
        waiting: list[Sequence[str | Text]] = [
            (
                str(one.place),
                _template(one.template.resource.kind, one.template.meta.namespace, one.template.meta.name),
                span(facts.seconds_since(one.since)),
                ", ".join(one.awaited_by) or "-",
            )
            for one in shown.waiting
        ]
        rows += [Text(), *table(("PLACE", "WAITS", "FOR", "AWAITED BY"), waiting, width)]
    if queue.unseen:
        rows += [Text(), *paragraph(_unseen(queue.unseen, facts), width)]
    if queue.partial:
        rows += [
            Text(),
            *paragraph(
                "Only a part of the cluster could be read: others may be before them.", width, style="yellow"
            ),
        ]
    return rows


def _columns(
    headers: Sequence[str], rows: Sequence[Sequence[str | Text]], count: int
) -> tuple[Sequence[str], Sequence[Sequence[str | Text]]]:
    return headers[:count], [row[:count] for row in rows]


def _template(kind: str, namespace: str, name: str) -> str:
    return f"{name} (cluster)" if kind == CLUSTER_TEMPLATES.kind else place(namespace, name)


def _unseen(count: int, facts: Facts) -> str:
    command = Book(facts).kubectl("get", "deployment,lease", namespace=facts.operator_namespace)
    what = "1 template has" if count == 1 else f"{count} templates have"
    return f"{what} not been looked at by the operator yet. Does it run? {command}"


# ---- all


def _head(schema: str, facts: Facts) -> dict[str, Any]:
    return {"schema": f"aimctl.{schema}/v1", "observedAt": format_time(facts.now)}


def _trouble(facts: Facts) -> dict[str, Any]:
    return {
        "missingRights": rights_json(_told(facts)),
        "notServed": [name for name in facts.unserved if name not in _SILENT],
        "unreadable": list(facts.unread),
    }


def _notes(facts: Facts) -> tuple[str, ...]:
    absent = [name for name in facts.unserved if name not in _SILENT]
    return (
        *missing_rights(_told(facts)),
        *([_not_installed(absent).capitalize()] if absent else []),
        *facts.unread,
    )


def _told(facts: Facts) -> list[Any]:
    """The missing rights that matter: Events only say more about what is known."""
    return [one for one in facts.denied if one.resource != CORE_EVENTS.plural]
