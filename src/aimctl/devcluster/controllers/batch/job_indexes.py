"""The completion indexes of Jobs with ``completionMode: Indexed``. No I/O.

Contract: sets of indexes are written as in the status, in ascending order with ranges: ``0-2,5,7,8``. As in
Kubernetes, two neighbours are written without a dash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ["FAILURES", "INDEX", "failures_of", "format_indexes", "index_of", "is_indexed", "parse_indexes"]

INDEX = "batch.kubernetes.io/job-completion-index"
"""The annotation and label of a pod with its index."""
FAILURES = "batch.kubernetes.io/job-index-failure-count"
"""The annotation of a pod with the number of failed pods of its index before it."""


def is_indexed(spec: Mapping[str, Any]) -> bool:
    """Whether the pods of a Job have indexes."""
    return spec.get("completionMode") == "Indexed"


def index_of(pod: Mapping[str, Any]) -> int | None:
    """The index of a pod; None if it has none."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else None


def failures_of(pod: Mapping[str, Any]) -> int:
    """The number of failed pods of the same index before this one."""
    text = (pod["metadata"].get("annotations") or {}).get(FAILURES, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def format_indexes(indexes: Collection[int]) -> str:
    """The indexes as in the status."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1][1:] = [index]
        else:
            parts.append([index])
    return ",".join(_shown(part) for part in parts)


def _shown(part: list[int]) -> str:
    separator = "," if part[-1] == part[0] + 1 else "-"
    return separator.join(map(str, part))


def parse_indexes(text: str) -> frozenset[int]:
    """The indexes of a text like ``0-2,5``. Parts that are not numbers are left out."""
    return frozenset(_numbers(text.split(",")))


def _numbers(parts: Iterable[str]) -> Iterable[int]:
    for part in parts:
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            yield from range(int(first), int(last or first) + 1)
