"""The page of ``aimctl status --problems``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aimctl.cli.kinds import noun
from aimctl.cli.questions.remedies import explain_command
from aimctl.cli.rendering.tables import Cell, blocks, paragraph
from aimctl.cli.rendering.values import duration, place

if TYPE_CHECKING:
    from aimctl.cli.questions.answers import Facts
    from aimctl.cli.questions.problems import Group, Problems

__all__ = ["foot", "render"]

_NAMED = 5
"""Members of a group whose names are shown; ``-o json`` has all of them."""

_MESSAGES = 3
"""Different messages of a group that are shown; ``-o json`` has that of each member."""


def render(found: Problems, facts: Facts, width: int | None) -> list[Text]:
    """One row for each group; below it the messages and the names of its members, and the command that explains one."""
    if not found.groups:
        return []
    headers = ("PROBLEM", "STATE", "REASON", "FOR", "AFFECTED")
    rows = [[Cell(header, "bold") for header in headers]]
    rows += [_row(group, facts) for group in found.groups]
    header, *shown = blocks(rows, width)
    lines = list(header)
    for group, row in zip(found.groups, shown, strict=True):
        lines += [*row, *_details(group, width)]
    return lines


def _row(group: Group, facts: Facts) -> list[Cell]:
    first, count = group.first, len(group.members)
    ages = [facts.seconds_since(one.since or one.created) for one in group.members]
    known = [age for age in ages if age is not None]
    return [
        Cell(f"{count} {noun(first.kind)}{'s' if count > 1 else ''}"),
        Cell(first.state, first.level.style),
        Cell(first.reason),
        Cell(duration(max(known)) if known else ""),
        Cell(str(group.affected) if group.affected else ""),
    ]


def _details(group: Group, width: int | None) -> list[Text]:
    names = [place(one.namespace, one.name) for one in group.members]
    more = len(names) - _NAMED
    listed = ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    lines = _messages(group, width)
    lines += paragraph(listed, width, indent="  ", style="dim")
    return [*lines, Text("  Why: ").append(explain_command(group.first), "blue")]


def _messages(group: Group, width: int | None) -> list[Text]:
    messages = group.messages
    if len(messages) == 1:
        return paragraph(messages[0][0], width, indent="  ", style="italic")
    lines = [
        line
        for message, count in messages[:_MESSAGES]
        for line in paragraph(
            f"{count} of {len(group.members)}: {message}", width, indent="  ", style="italic"
        )
    ]
    more = len(messages) - _MESSAGES
    if more > 0:
        lines += paragraph(
            f"and {more} other message{'s' if more > 1 else ''}", width, indent="  ", style="italic"
        )
    return lines


def foot(found: Problems, hidden: str, width: int | None) -> list[Text]:
    """How many objects have a problem, are affected and are Ready; ``hidden`` names what the page does not cover."""
    count = sum(len(group.members) for group in found.groups)
    ready = f"{found.ready} object{'' if found.ready == 1 else 's'} Ready"
    text = f"{count} not Ready, {found.affected} more affected; {ready}" if count else f"No problems; {ready}"
    gap = [Text()] if found.groups else []
    return [*gap, *paragraph(text, width), *(paragraph(hidden, width) if hidden else [])]
