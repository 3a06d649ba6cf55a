"""The objects that are not Ready, grouped by kind, state and reason.

Contract: pure. Each object is in at most one group. An object is left out if an object that it uses, or in which its
cause may lie, is not Ready either: that one is closer to the cause, and the first one is counted as affected. If two
objects refer to each other, neither is left out because of the other. An object that waits without an error is a
problem too.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.cli.questions.health import Health, Node
    from aimctl.cli.questions.overview import Overview

__all__ = ["Group", "Problems", "problems_of"]

_HASH = re.compile(r"(?<=\*)-[0-9a-f]{10}\b")
"""The end of the name of a Job, after the name of its object."""


@final
@dataclass(frozen=True, slots=True)
class Group:
    """Objects of one kind that are in the same state for the same reason.

    Attributes:
        members: ordered by namespace and name; not empty.
        affected: the number of objects that are not Ready because of a member, directly or not.
    """

    members: tuple[Health, ...]
    affected: int

    @property
    def first(self) -> Health:
        """The member that stands for the group."""
        return self.members[0]

    @property
    def messages(self) -> list[tuple[str, int]]:
        """The different messages with the number of members that have them, the most frequent first.

        Messages that differ only in the name of their object or of its Job count as one, which is shown as that of its
        first member.
        """
        examples: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for one in self.members:
            if one.message:
                form = _HASH.sub("", one.message.replace(one.name, "*"))
                examples.setdefault(form, one.message)
                counts[form] += 1
        return [(examples[form], count) for form, count in counts.most_common()]

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        first = self.first
        return {
            "kind": first.kind,
            "state": first.state,
            "reason": first.reason,
            "message": first.message,
            "count": len(self.members),
            "affected": self.affected,
            "objects": [one.to_json() for one in self.members],
        }


@final
@dataclass(frozen=True, slots=True)
class Problems:
    """All groups: the worst state first, and then the group with the most members and affected objects.

    Attributes:
        ready: the number of objects that are Ready.
        affected: the number of objects that are in no group, because the cause is in another object.
    """

    groups: tuple[Group, ...]
    ready: int
    affected: int

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        counts = {"readyObjects": self.ready, "affectedObjects": self.affected}
        return {"problems": [group.to_json() for group in self.groups]} | counts


def problems_of(overview: Overview) -> Problems:
    """Group the objects of an overview."""
    known = {
        node.health.uid: node
        for root in overview.roots
        for node in root.walk()
        if node.health.own and not node.seen_above
    }
    ill = {uid for uid, node in known.items() if not node.health.ready}
    reached = {uid: _reached(uid, known, overview.blamed) & ill for uid in ill}
    causes = {uid: {one for one in found if uid not in reached[one]} for uid, found in reached.items()}
    grouped: dict[tuple[str, str, str], list[Health]] = {}
    for uid, below in causes.items():
        health = known[uid].health
        if not below:
            grouped.setdefault((health.kind, health.state, health.reason), []).append(health)
    groups = [
        Group(
            tuple(sorted(found, key=lambda one: (one.namespace, one.name))),
            sum(not below.isdisjoint(one.uid for one in found) for below in causes.values()),
        )
        for found in grouped.values()
    ]
    groups.sort(key=_urgency)
    return Problems(tuple(groups), len(known) - len(causes), sum(map(bool, causes.values())))


def _urgency(group: Group) -> tuple[object, ...]:
    first = group.first
    return (-first.level, -len(group.members) - group.affected, first.title)


def _reached(uid: str, known: Mapping[str, Node], blamed: Mapping[str, frozenset[str]]) -> set[str]:
    """The UIDs of the objects that an object uses or blames, directly or not."""

    def next_to(one: str) -> Iterator[str]:
        yield from (child.health.uid for child in known[one].children)
        yield from blamed.get(one, ())

    found: set[str] = set()
    left = [uid]
    while left:
        new = {one for one in next_to(left.pop()) if one in known} - found
        found |= new
        left += new
    return found
