"""Removes from responses what differs between two runs on the same server.

Contract:
    * A uid becomes "uid of NAME", after the first object that had it; a later object with that name gets "(2)" and so on.
    * A resourceVersion of an object with a uid becomes "version N of NAME", numbered in the order in which the responses
      show them, so that unchanged and changed versions are distinguished. Other resourceVersions become "VERSION".
    * Times become "TIME" or "MICROTIME", except those that the requests contain. Ages in tables become "AGE".
    * Generated name suffixes become "*", continue tokens and bearer tokens "TOKEN".
    * managedFields are ordered by operation, manager and subresource: the order by time depends on the second of a write.
    * The whole object in the message about an invalid patch becomes "PATCHED". Causes that a Status repeats appear once:
      how often the real server runs a check depends on the kind. Causes are sorted, because the real server finds them in
      random order, and a message that lists several of them ends with "CAUSES".
    * The resources in discovery are sorted by name, because the real server lists custom kinds in random order.
    * Hashes of OpenAPI documents become "HASH".
    * Descriptions of table columns and in OpenAPI documents are removed.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b(?!2006-01-02T15:04:05)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_NUMBERS = (
    (re.compile(r"hash=[0-9A-F]{32,}"), "hash=HASH"),
    (re.compile(r"current: \d+"), "current: N"),
    (re.compile(r"too old resource version: (\d+) \(\d+\)"), r"too old resource version: \1 (N)"),
    (re.compile(r"(ResourceVersion in precondition: \S+, ResourceVersion in object meta: )\d+"), r"\1N"),
    (
        re.compile(r"precondition \(\d+\) does not match the ResourceVersion in record \(\d+\)"),
        "precondition (N) does not match the ResourceVersion in record (N)",
    ),
)
_PATCHED = re.compile(r'Invalid value: "\{(?:\\.|[^"\\])*"(?=: )')
_AGES = {"Age", "Duration", "Last Schedule", "Last Seen", "First Seen"}
_AGE = re.compile(r"(\d+(ms|[smhdy]))+")
_SECRETS = {"continue", "token"}


class Normalizer:
    """Normalizes the responses of one run, in order. ``times`` are left as they are."""

    def __init__(self, times: Collection[str] = ()) -> None:
        self._times = times
        self._uids: dict[str, str] = {}
        self._names: dict[str, int] = defaultdict(int)
        self._versions: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._ages: set[int] = set()

    def value(self, value: Any, *, openapi: bool = False) -> Any:
        """A normalized copy of a body or an event."""
        if isinstance(value, dict):
            self._learn(value)
            if value.get("kind") == "Table":
                value = self._without_ages(value)
            elif value.get("kind") == "Status":
                value = _without_order(value)
            elif value.get("kind") == "APIResourceList":
                value = {**value, "resources": sorted(value["resources"], key=lambda each: each["name"])}
            return {key: self._field(key, item, openapi=openapi) for key, item in value.items()
                    if not (openapi and key == "description" and isinstance(item, str))}  # fmt: skip
        if isinstance(value, list):
            return [self.value(item, openapi=openapi) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _learn(self, obj: dict[str, Any]) -> None:
        metadata = obj.get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, dict) else None
        if isinstance(uid, str) and _UUID.fullmatch(uid) and uid not in self._uids:
            name = _stable_name(metadata)
            self._names[name] += 1
            count = self._names[name]
            self._uids[uid] = f"{name} ({count})" if count > 1 else name

    def _field(self, key: str, value: Any, *, openapi: bool) -> Any:
        if key == "metadata" and isinstance(value, dict) and not openapi:
            return self._metadata(value)
        if key == "causes" and isinstance(value, list):
            distinct = [cause for number, cause in enumerate(value) if cause not in value[:number]]
            return sorted(self.value(distinct), key=lambda cause: json.dumps(cause, sort_keys=True))
        if key in _SECRETS and isinstance(value, str):
            return "TOKEN"
        return self.value(value, openapi=openapi)

    def _metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        result = {key: self.value(item) for key, item in metadata.items()}
        if isinstance(metadata.get("name"), str):
            result["name"] = _stable_name(metadata)
        if metadata.get("continue"):
            result["continue"] = "TOKEN"
        if "resourceVersion" in metadata:
            result["resourceVersion"] = self._version(metadata)
        if isinstance(metadata.get("managedFields"), list):
            result["managedFields"] = sorted(
                result["managedFields"],
                key=lambda entry: [entry.get(key, "") for key in ("operation", "manager", "subresource")],
            )
        return result

    def _version(self, metadata: dict[str, Any]) -> str:
        name = self._uids.get(metadata.get("uid", ""))
        if name is None or not metadata["resourceVersion"]:
            return "VERSION"
        key = (name, metadata["resourceVersion"])
        if key not in self._versions:
            self._counts[name] += 1
            self._versions[key] = f"version {self._counts[name]} of {name}"
        return self._versions[key]

    def _without_ages(self, table: dict[str, Any]) -> dict[str, Any]:
        """A table without ages. Later events of a watch have the columns of the first one."""
        columns = [
            {key: value for key, value in column.items() if key != "description"}
            for column in table.get("columnDefinitions") or ()
        ]
        if columns:
            self._ages = {number for number, column in enumerate(columns) if column.get("name") in _AGES}
        rows = [
            {
                **row,
                "cells": [
                    "AGE" if number in self._ages and isinstance(cell, str) and _AGE.fullmatch(cell) else cell
                    for number, cell in enumerate(row["cells"])
                ],
            }
            for row in table.get("rows") or ()
        ]
        result = {**table, "rows": rows}
        return {**result, "columnDefinitions": columns} if "columnDefinitions" in table else result

    def text(self, text: str) -> str:
        """A text without uids, times and current versions."""
        text = _PATCHED.sub('Invalid value: "PATCHED"', text)
        text = _UUID.sub(lambda match: f"uid of {self._uids.get(match[0], 'no object')}", text)
        text = _TIME.sub(self._time, text)
        for pattern, replacement in _NUMBERS:
            text = pattern.sub(replacement, text)
        return text

    def _time(self, match: re.Match[str]) -> str:
        if match[0] in self._times:
            return match[0]
        return "MICROTIME" if match[1] else "TIME"


def _stable_name(metadata: dict[str, Any]) -> str:
    name, prefix = str(metadata.get("name", "")), metadata.get("generateName")
    if prefix and len(name) == len(prefix) + 5 and name.startswith(prefix):
        return f"{prefix}*"
    return name


def _without_order(status: dict[str, Any]) -> dict[str, Any]:
    """A Status without the list of errors in its message if there are several: the causes contain them."""
    causes = (status.get("details") or {}).get("causes") or ()
    head, found, _ = status.get("message", "").partition(" is invalid: [")
    if len(causes) < 2 or not found:
        return status
    return {**status, "message": f"{head} is invalid: CAUSES"}
