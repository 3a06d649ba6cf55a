"""The page of ``aimctl status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from rich.text import Text

from aimctl.api.kinds import OPERATOR_KINDS
from aimctl.cli.errors import CommandError
from aimctl.cli.exits import DONE, FAILED, FORBIDDEN, NOT_FOUND, NOT_READY
from aimctl.cli.kinds import did_you_mean, noun
from aimctl.cli.pages import problems
from aimctl.cli.pages.answering import check_namespace, document, notes, read_leader, require_answer
from aimctl.cli.questions.answers import Problem, Trouble
from aimctl.cli.questions.leader import leaderless
from aimctl.cli.questions.overview import lists_of_overview, overview_of, own_lists
from aimctl.cli.questions.problems import problems_of
from aimctl.cli.questions.reading import read
from aimctl.cli.questions.remedies import explain_command
from aimctl.cli.questions.rights import missing_rights
from aimctl.cli.rendering.screens import Page
from aimctl.cli.rendering.tables import Cell, blocks, cut, paragraph, walk
from aimctl.cli.rendering.values import clean, duration
from aimctl.cli.suggestions import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aimctl.cli.connect import Connected
    from aimctl.cli.questions.answers import Facts
    from aimctl.cli.questions.health import Node
    from aimctl.cli.questions.overview import Overview

__all__ = ["render", "status_page"]


async def status_page(
    link: Connected,
    namespace: str,
    name: str,
    operator_namespace: str,
    *,
    only_problems: bool = False,
) -> Page:
    """The state of a namespace, or with "" of the whole cluster; with a name only of the objects that have it.

    With ``only_problems`` the page has a row for each group of objects that are not Ready for the same reason.

    Raises:
        CommandError: nothing could be read, or no object has the name.
    """
    facts = await read(link.client, link.clock.now(), lists_of_overview(namespace, operator_namespace))
    answers = [facts.answers[question] for question in own_lists(namespace)]
    require_answer(answers, hint="" if namespace else " Or name a namespace that you may read with -n.")
    overview = overview_of(facts, namespace, operator_namespace, name)
    if namespace and not any(facts.list(question) for question in own_lists(namespace)):
        await check_namespace(link, namespace)
    if name and not overview.roots:
        _not_found(name, namespace, facts)
    leader = await read_leader(link, operator_namespace)
    remarks = (*notes(facts), *leaderless(leader, operator_namespace))
    troubles = {one.trouble for one in answers if isinstance(one, Problem)}
    code = DONE if overview.ready else NOT_READY
    if overview.ready and troubles:
        code = FORBIDDEN if Trouble.DENIED in troubles else FAILED
    if only_problems:
        return _problems_page(overview, facts, remarks, code)
    return Page(
        document("status/v1", facts, {"ready": code == DONE} | overview.to_json()),
        lambda width: render(overview, facts, width),
        lambda width: _foot(overview, facts, width),
        lambda width: render(overview, facts, width, worst_first=True),
        remarks,
        code,
    )


def _problems_page(overview: Overview, facts: Facts, remarks: tuple[str, ...], code: int) -> Page:
    found = problems_of(overview)
    data = {"ready": code == DONE} | overview.scope_json() | found.to_json()
    return Page(
        document("problems/v1", facts, data),
        lambda width: problems.render(found, facts, width),
        lambda width: problems.foot(found, _hidden(overview), width),
        notes=remarks,
        code=code,
    )


def _not_found(name: str, namespace: str, facts: Facts) -> NoReturn:
    """Raise CommandError: no object has this name, or one may be in a list that could not be read."""
    denied = [one.question for one in facts.problems(Trouble.DENIED)]
    rights = [one.right for one in denied if one.resource in OPERATOR_KINDS]
    if rights:
        text = f"no object that you may read is named {name!r}. {' '.join(missing_rights(rights))}"
        raise CommandError(text, exit_code=FORBIDDEN)
    for problem in facts.problems(Trouble.UNREAD):
        raise CommandError(f"no object that could be read is named {name!r}: {problem.message}")
    where = f"namespace {namespace!r}" if namespace else "any namespace"
    known = [item.meta.name for one in own_lists(namespace) for item in facts.list(one)]
    similar = did_you_mean(name, known) or "name another namespace with -n, or use -A for all"
    raise CommandError(
        f"no service, template, cache or model is named {name!r} in {where} or the cluster; {similar}",
        exit_code=NOT_FOUND,
    )


def render(overview: Overview, facts: Facts, width: int | None, *, worst_first: bool = False) -> list[Text]:
    """One header for each group, and one row for each object.

    The message of an object that is not Ready follows its row, cut to one line; without a width it is the last column.
    An object has no message here if an object below it is not Ready either: that one's message is more specific.
    """
    headers = ("STATE", "REASON", "AGE") if width else ("STATE", "REASON", "AGE", "MESSAGE")
    rows: list[list[Cell]] = []
    below: list[Text | None] = []
    for title, nodes in _groups(overview, worst_first=worst_first):
        gap = [[Cell("")] * (len(headers) + 1)] if rows else []
        rows += [*gap, [Cell(one, "bold") for one in (title, *headers)]]
        below += [None] * (len(gap) + 1)
        for node, first, rest in (one for root in nodes for one in walk(root)):
            message = _message(node)
            rows.append([*_row(node, facts, first, rest), *([] if width else [Cell(message)])])
            extra = Text(f"{rest}  ", "dim").append(message, "italic")
            below.append(cut(extra, width) if width and message else None)
    lines: list[Text] = []
    for block, under in zip(blocks(rows, width), below, strict=True):
        lines += block if under is None else [*block, under]
    return lines


def _groups(overview: Overview, *, worst_first: bool) -> Sequence[tuple[str, Sequence[Node]]]:
    """The groups with their titles; of all namespaces, one group for each namespace."""
    groups: dict[str, list[Node]] = {}
    for title, nodes in (
        ("SERVICES", overview.services),
        ("TEMPLATES WITHOUT A SERVICE", overview.templates),
        ("CACHES WITHOUT A TEMPLATE", overview.caches),
        ("MODELS", overview.models),
    ):
        for node in nodes:
            where = "" if overview.namespace else f" ({node.health.namespace or 'cluster'})"
            groups.setdefault(f"{title}{where}", []).append(node)
    if not worst_first:
        return list(groups.items())
    ordered = [(title, sorted(nodes, key=lambda node: -node.worst)) for title, nodes in groups.items()]
    return sorted(ordered, key=lambda group: -group[1][0].worst)


def _row(node: Node, facts: Facts, first: str, rest: str) -> list[Cell]:
    one = node.health
    percent = f" {one.progress[0]}%" if one.progress is not None else ""
    return [
        Cell(_label(node), "dim" if node.seen_above else "", first, rest),
        Cell(one.state, one.level.style),
        Cell("" if one.ready or node.seen_above else f"{one.reason}{percent}"),
        Cell(duration(facts.seconds_since(one.created))),
    ]


def _label(node: Node) -> str:
    """Kind and name; instead of the name, the purpose of a Job and the URL of an InferenceService."""
    one, word = node.health, noun(node.health.kind)
    if one.kind == "Job" and one.note:
        return f"{one.note} {word}"
    if one.kind == "InferenceService":
        return f"{word} {one.note}".rstrip()
    note = "above" if node.seen_above else one.note
    return f"{word} {one.name}" + (f" ({note})" if note else "")


def _message(node: Node) -> str:
    one = node.health
    below = [other.health for child in node.children for other in child.walk()]
    specific = all(other.ready for other in below if other.own)
    return clean(one.message) if one.own and not one.ready and not node.seen_above and specific else ""


def _foot(overview: Overview, facts: Facts, width: int | None) -> list[Text]:
    """The number of objects in each state, and the command to run next."""
    counted, hidden = "; ".join(_counts(overview.states())), _hidden(overview)
    where = f"in namespace {overview.namespace!r}" if overview.namespace else "in the cluster"
    where += " that you may read" if any(facts.problems(Trouble.DENIED)) else ""
    out = [Text()] if overview.roots else []
    out += paragraph(counted or f"No services, templates, caches or models {where}.", width)
    if hidden:
        out += paragraph(hidden, width)
    elif not counted and overview.namespace:
        out += paragraph(f"Other namespaces: {command('aimctl status -A')}", width)
    if overview.worst is not None:
        out.append(Text("Why: ").append(explain_command(overview.worst), "blue"))
    return out


def _hidden(overview: Overview) -> str:
    """The cluster-scoped objects that the page does not show; "" if there are none."""
    elsewhere = "; ".join(_counts(overview.elsewhere))
    return f"Not shown: {elsewhere} ({command('aimctl status -A')})" if elsewhere else ""


def _counts(states: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """For each kind ``2 services: 1 Running, 1 Starting``."""
    for kind, count in states.items():
        total = sum(count.values())
        ordered = sorted(count.items(), key=lambda one: (-one[1], one[0]))
        each = ", ".join(f"{number} {state}" for state, number in ordered)
        if total:
            yield f"{total} {noun(kind)}{'s' if total > 1 else ''}: {each}"
