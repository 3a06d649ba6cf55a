"""The objects that are not Ready, grouped by kind, state and reason.

Contract: pure. Each object is in at most one group. An object is left out if an object that it uses is not Ready
either: that one is closer to the cause, and the first one is counted as affected. An object that waits without an
error is a problem too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.cli.questions.health import Health, Node

__all__ = ["Group", "Problems", "problems_of"]


@final
@dataclass(frozen=True, slots=True)
class Group:
    """Objects of one kind that are in the same state for the same reason.

    Attributes:
        members: ordered by namespace and name; not empty.
        affected: the number of objects that are not Ready and use a member, directly or not.
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

        Messages that differ only in the name of their object count as one, which is shown as that of its first member.
        """
        examples: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for one in self.members:
            if one.message:
                form = one.message.replace(one.name, "*")
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
        affected: the number of objects that are in no group, because an object that they use is not Ready.
    """

    groups: tuple[Group, ...]
    ready: int
    affected: int

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        counts = {"readyObjects": self.ready, "affectedObjects": self.affected}
        return {"problems": [group.to_json() for group in self.groups]} | counts


def problems_of(roots: Iterable[Node]) -> Problems:
    """Group the objects of these nodes, and of all nodes below them."""
    known = {
        node.health.uid: node
        for root in roots
        for node in root.walk()
        if node.health.own and not node.seen_above
    }
    causes = {uid: _unready_below(node, known) for uid, node in known.items() if not node.health.ready}
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
    """The sort key. A model that reports the state of its templates comes after them."""
    first = group.first
    size = len(group.members) + group.affected
    return (-first.level, first.reason.startswith("Templates"), -size, first.title)


def _unready_below(node: Node, known: dict[str, Node]) -> set[str]:
    """The UIDs of the operator's objects below a node that are not Ready."""
    found: set[str] = set()
    for child in node.children:
        whole = known.get(child.health.uid, child)  # the tree shows what is below an object only once
        if child.health.own and not child.health.ready:
            found.add(child.health.uid)
        found |= _unready_below(whole, known)
    return found
