"""The lines of trees and explanations: an object, how it is, why, and what to type about it.

Contract:
    * A :class:`Line` is frozen and says everything that is shown; renderers add only layout and colour.
    * :meth:`Line.to_json` has the same keys for every line; docs/cli.md describes them. ``namespace``, ``created``,
      ``since`` and ``progress`` are absent where there is no such thing.
    * Texts come from the cluster and may hold anything: :func:`clean` makes them fit for a terminal.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, final

from aimctl.domain import conditions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime.kube import Object, ObjectMeta

__all__ = ["Level", "Line", "Progress", "brief", "clean", "level_of", "line_of", "place", "size", "span"]


class Level(StrEnum):
    """How good a state is."""

    GOOD = "good"
    BUSY = "busy"
    WAITS = "waits"
    BAD = "bad"
    UNKNOWN = "unknown"


_BY_URGENCY = (Level.GOOD, Level.BUSY, Level.UNKNOWN, Level.WAITS, Level.BAD)
_LEVELS = {
    "New": Level.WAITS,
    "Waiting": Level.WAITS,
    "Ready": Level.GOOD,
    "Running": Level.GOOD,
    "Available": Level.GOOD,
    "Complete": Level.GOOD,
    "Bound": Level.GOOD,
    "Present": Level.GOOD,
    "Progressing": Level.BUSY,
    "Starting": Level.BUSY,
    "Pending": Level.WAITS,
    "NotReady": Level.WAITS,
    "NotAvailable": Level.WAITS,
    "Degraded": Level.BAD,
    "Failed": Level.BAD,
    "Missing": Level.BAD,
    "Lost": Level.BAD,
}


def level_of(state: str) -> Level:
    """The level of a state's word."""
    return _LEVELS.get(state, Level.UNKNOWN)


@final
@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a download has arrived."""

    percent: int
    downloaded_bytes: int
    total_bytes: int

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "percent": self.percent,
            "downloadedBytes": self.downloaded_bytes,
            "totalBytes": self.total_bytes,
        }


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One object, and the lines below it.

    Attributes:
        kind: as in manifests.
        namespace: "" for cluster-scoped ones.
        name: its name; "" for what has none.
        state: one word.
        level: how good that is.
        reason: one CamelCase word, or "".
        message: a sentence, or "".
        note: what it is to the line above, such as "derived from base".
        created: when the object was created, RFC 3339, or "".
        since: since when it is as it is, or "".
        progress: of a download.
        commands: what to type to see more, or to help.
        children: what it depends on.
        reference: it was told about above, and is only named here.
        awaits: it only waits for the line above it, so it is never what that comes down to.
    """

    kind: str
    namespace: str
    name: str
    state: str
    level: Level
    reason: str = ""
    message: str = ""
    note: str = ""
    created: str = ""
    since: str = ""
    progress: Progress | None = None
    commands: tuple[str, ...] = ()
    children: tuple[Line, ...] = ()
    reference: bool = False
    awaits: bool = False

    @property
    def good(self) -> bool:
        """Whether nothing is left to wish for."""
        return self.level is Level.GOOD

    @property
    def title(self) -> str:
        """``AIMServiceTemplate ml-team/llama``."""
        return f"{self.kind} {place(self.namespace, self.name)}"

    def walk(self) -> Iterator[Line]:
        """This line and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def urgency(self) -> int:
        """How bad the worst of this line and those below it is: what fails comes before what waits, that before what is
        on its way; 0 when all is well.
        """
        return max(_BY_URGENCY.index(line.level) for line in self.walk())

    def worst_first(self) -> Line:
        """The same, with the worst first among what is below each line."""
        children = sorted((child.worst_first() for child in self.children), key=lambda one: -one.urgency)
        return replace(self, children=tuple(children))

    def causes(self) -> Iterator[Line]:
        """The lines that are known not to be well although all below them is: what it comes down to."""
        ill = [cause for child in self.children for cause in child.causes()]
        yield from ill
        if (
            not ill
            and self.level not in {Level.GOOD, Level.UNKNOWN}
            and not (self.reference or self.awaits)
            and not self._at_work
        ):
            yield self

    @property
    def _at_work(self) -> bool:
        """A Job is never the cause: whose it is says more about how far it is, or how it ended."""
        return self.kind == "Job" and bool(self.name)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        out: dict[str, Any] = {"kind": self.kind}
        if self.namespace:
            out["namespace"] = self.namespace
        out |= {
            "name": self.name,
            "state": self.state,
            "ready": self.good,
            "reason": self.reason,
            "message": self.message,
            "note": self.note,
            "seenAbove": self.reference,
        }
        if self.created:
            out["created"] = self.created
        if self.since:
            out["since"] = self.since
        if self.progress is not None:
            out["progress"] = self.progress.to_json()
        return out | {
            "commands": list(self.commands),
            "children": [child.to_json() for child in self.children],
        }


def line_of(item: Object[Any], **fields: Any) -> Line:
    """The line of one of our own kinds: its state from ``status.status``, the rest from its condition ``Ready``."""
    status = item.view.status
    state = getattr(status, "status", "")
    ready = conditions.find(status.conditions, "Ready")
    meta: ObjectMeta = item.meta
    out: dict[str, Any] = {
        "state": state or "New",
        "level": level_of(state or "New"),
        "reason": ready.reason if ready is not None else "NotSeenYet",
        "message": ready.message if ready is not None else "the operator has not looked at it yet",
        "since": _since(status),
        "created": meta.creation_timestamp,
        "progress": progress_of(status),
    }
    if meta.deleting:
        out |= {
            "state": "Deleting",
            "level": Level.BUSY,
            "reason": "Deleting",
            "message": "it is being deleted",
            "since": meta.deletion_timestamp,
        }
    return Line(item.resource.kind, meta.namespace, meta.name, **{**out, **fields})


def _since(status: Any) -> str:
    """When the state was reached; "" where unknown.

    Between Failed and Progressing, Ready stays as it is: the other two tell of it.
    """
    found = (conditions.find(status.conditions, type_) for type_ in ("Ready", "Progressing", "Failure"))
    return max((one.last_transition_time for one in found if one is not None), default="")


def progress_of(status: Any) -> Progress | None:
    """The progress in a cache's status."""
    progress = getattr(status, "progress", None)
    if progress is None or not progress.total_bytes:
        return None
    return Progress(progress.percent, progress.downloaded_bytes, progress.total_bytes)


def place(namespace: str, name: str) -> str:
    """``namespace/name``, or the name alone."""
    return f"{namespace}/{name}" if namespace else name


def clean(text: str) -> str:
    """The text on one line, without what a terminal would obey: escape sequences and other control characters."""
    kept = "".join(
        " "
        if mark.isspace()
        else "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(mark)[0] == "C"
        else mark
        for mark in text
    )
    return " ".join(kept.split())


def brief(text: str, limit: int | None) -> str:
    """Clean, and in at most ``limit`` characters; what is cut comes before the last "; ", after which the remedy is."""
    whole = clean(text)
    if limit is None or len(whole) <= limit:
        return whole
    start, mark, remedy = whole.rpartition("; ")
    room = limit - len(mark + remedy)
    if not mark or room < limit // 4:
        return conditions.clip(whole, limit)
    return f"{conditions.clip(start, room)}{mark}{remedy}"


def span(seconds: float | None) -> str:
    """A duration as ``kubectl`` writes ages: ``42s``, ``12m``, ``3h``, ``5d``; "-" for an unknown one."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    if whole < 600 and whole % 60:
        return f"{whole // 60}m{whole % 60}s"
    if whole < 3 * 3600:
        return f"{whole // 60}m"
    if whole < 48 * 3600:
        return f"{whole // 3600}h"
    return f"{whole // 86400}d"


def size(count: int) -> str:
    """Bytes for people: ``16.0 GiB``."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    for unit in units:
        if value < 1024 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
