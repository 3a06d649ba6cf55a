"""The recorded responses: one JSON file for each group, one line for each case.

Invariant: a recording names the version of the server and the digest of the requests. If the digest is not that of the
group, the recording is out of date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.cases import Group

FOLDER = Path(__file__).parent / "recordings"


class RecordingError(Exception):
    """A recording is missing or out of date. The text names the remedy."""


def read(group: Group) -> dict[str, Any]:
    """The recorded responses of a group by case. Raises RecordingError."""
    recording = _load(group.name)
    if recording is None or recording["requests"] != group.digest:
        state = "missing" if recording is None else "out of date: the requests have changed"
        raise RecordingError(
            f"the recording of the group {group.name} is {state}; run make conformance-record"
        )
    responses: dict[str, Any] = recording["responses"]
    return responses


def version(group: Group) -> str:
    """The version of the server that was recorded."""
    recording = _load(group.name)
    return recording["version"] if recording else ""


def write(group: Group, responses: Mapping[str, Any], version: str) -> None:
    """Store the responses of a group."""
    lines = [f"{json.dumps(name)}: {_compact(response)}" for name, response in responses.items()]
    head = f'{{"version": {json.dumps(version)}, "requests": {json.dumps(group.digest)}, "responses": {{'
    (FOLDER / f"{group.name}.json").write_text("\n".join((head, ",\n".join(lines), "}}\n")), encoding="utf-8")


def remove_others(groups: set[str]) -> None:
    """Delete the recordings of groups that no longer exist."""
    for path in FOLDER.glob("*.json"):
        if path.stem not in groups:
            path.unlink()


def _load(name: str) -> dict[str, Any] | None:
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
