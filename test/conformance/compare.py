"""Compares responses field by field, and applies a list of known differences.

Contract: a difference is a path such as ``body.metadata.name`` with the value of each server, or ``ABSENT``. A known
difference names cases as ``group/case`` and fields; a field includes everything below it. Each combination of case and
field has to occur, so an entry that is no longer needed is a failure.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from support.documents import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KNOWN = Path(__file__).with_name("known.yaml")
VERSIONS = Path(__file__).with_name("versions")
ABSENT = "ABSENT"


class Difference(NamedTuple):
    """One field with different values."""

    path: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.path}\n      recorded {_shown(self.expected)}\n      found    {_shown(self.found)}"


@dataclass(frozen=True)
class Known:
    """Differences that are accepted for one reason."""

    reason: str
    fields: tuple[str, ...]
    cases: tuple[str, ...]

    def covers(self, case: str, path: str) -> str | None:
        """The field of this entry that covers the difference, or None."""
        if case not in self.cases:
            return None
        return next((field for field in self.fields if _within(path, field)), None)


@dataclass(frozen=True)
class Comparison:
    """The result of one group. ``failures`` and ``known`` map cases to differences."""

    group: str
    cases: int
    known: Mapping[str, Sequence[Difference]]
    failures: Mapping[str, Sequence[Difference]]
    unneeded: Sequence[str]
    """Entries of the list of known differences that did not occur in this group."""

    @property
    def equal(self) -> int:
        """The number of cases without any difference."""
        return self.cases - len(self.known.keys() | self.failures.keys())

    @property
    def passed(self) -> bool:
        """Whether all differences are known, and all known differences occur."""
        return not self.failures and not self.unneeded


@functools.cache
def known_differences() -> tuple[Known, ...]:
    """Where the embedded server differs from the recordings: the entries of ``known.yaml``."""
    return _read(KNOWN)


@functools.cache
def version_differences(version: str) -> tuple[Known, ...]:
    """Where a real server of this version differs from the recordings; empty if no file describes its minor version."""
    path = VERSIONS / f"{minor(version)}.yaml"
    return _read(path) if path.exists() else ()


def described_versions() -> tuple[str, ...]:
    """The minor versions whose differences are described, from the oldest."""
    found = (path.stem for path in VERSIONS.glob("*.yaml"))
    return tuple(sorted(found, key=lambda each: [int(part) for part in each.split(".")]))


def minor(version: str) -> str:
    """The minor version, such as 1.34 of 1.34.0."""
    return ".".join(version.split(".")[:2])


def _read(path: Path) -> tuple[Known, ...]:
    """The entries of a file, one for each place of a reason."""
    return tuple(
        Known(entry["reason"], tuple(place["fields"]), tuple(place["cases"]))
        for entry in load_yaml(path.read_text(encoding="utf-8")) or ()
        for place in entry["where"]
    )


def compare(
    group: str,
    expected: Mapping[str, Any],
    found: Mapping[str, Any],
    known: Sequence[Known],
) -> Comparison:
    """Compare all responses of a group."""
    accepted: dict[str, list[Difference]] = {}
    failures: dict[str, list[Difference]] = {}
    needed = set()
    for name in [*expected, *(name for name in found if name not in expected)]:
        case = f"{group}/{name}"
        for difference in differences(expected.get(name, ABSENT), found.get(name, ABSENT), ""):
            covering = [
                (entry, field)
                for entry in known
                if (field := entry.covers(case, difference.path)) is not None
            ]
            needed.update((id(entry), case, field) for entry, field in covering)
            (accepted if covering else failures).setdefault(name, []).append(difference)
    unneeded = [
        f"{case}: {field} ({entry.reason})"
        for entry in known
        for case in entry.cases
        for field in entry.fields
        if case.startswith(f"{group}/") and (id(entry), case, field) not in needed
    ]
    return Comparison(group, len(expected), accepted, failures, unneeded)


def differences(expected: Any, found: Any, path: str) -> Iterator[Difference]:
    """The fields in which two JSON values differ. 1, 1.0 and true are different."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            below = f"{path}.{key}" if path else key
            yield from differences(expected.get(key, ABSENT), found.get(key, ABSENT), below)
    elif isinstance(expected, list) and isinstance(found, list):
        for number in range(max(len(expected), len(found))):
            one = expected[number] if number < len(expected) else ABSENT
            two = found[number] if number < len(found) else ABSENT
            yield from differences(one, two, f"{path}[{number}]")
    elif json.dumps(expected) != json.dumps(found):
        yield Difference(path, expected, found)


def _within(path: str, field: str) -> bool:
    return path == field or path.startswith((f"{field}.", f"{field}["))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 1500 else f"{text[:1500]}..."
