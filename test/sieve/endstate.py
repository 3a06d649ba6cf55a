"""The end state of a run in a form that does not depend on times, uids and resourceVersions.

Contract: :func:`end_state` keeps every other field. A uid of an object that exists is replaced with the key of that
object, so a reference to a former object of the same name differs from one to the present object. The names of Jobs end
with a hash that depends on the uid of their owner, which is left out; Jobs of the same name are numbered by age.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sieve.observed import Body, Key

__all__ = ["EndState", "differences", "end_state", "without_repetitions"]

EndState = dict[str, Any]
"""Normalised objects by key."""

_IGNORED = frozenset({"events", "leases", "nodes", "pods", "customresourcedefinitions", "persistentvolumes"})
"""Kinds that are not compared: pods have random names, and the others do not depend on the manager."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_JOB = re.compile(r"\b((?:discover|download)-[a-z0-9.-]+)-(?:[0-9a-f]{14}|[0-9a-f]{10})\b")
_DROPPED = frozenset(
    {
        "resourceVersion",
        "managedFields",
        "creationTimestamp",
        "generateName",
        "aim.silogen.ai/applied-hash",  # depends on the uid of the owner; what is hashed is compared
    }
)


def end_state(objects: Mapping[Key, Body]) -> EndState:
    """The normalised objects by key."""
    uids = {
        body["metadata"].get("uid", ""): _JOB.sub(r"\1-<hash>", str(key)) for key, body in objects.items()
    }
    found: EndState = {}
    for key, body in sorted(objects.items(), key=lambda item: int(item[1]["metadata"]["resourceVersion"])):
        if key.plural not in _IGNORED:
            name = _JOB.sub(r"\1-<hash>", str(key))
            number = sum(1 for other in found if other.partition(" ")[0] == name)
            found[f"{name} ({number + 1})" if number else name] = _normal(body, uids)
    return found


def without_repetitions(state: EndState) -> EndState:
    """The state without the Jobs that differ from an older one only in the hash of their name."""
    return {name: body for name, body in state.items() if not name.endswith(")")}


def _normal(value: Any, uids: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _normal(item, uids) for name, item in value.items() if name not in _DROPPED}
    if isinstance(value, list):
        return [_normal(item, uids) for item in value]
    if isinstance(value, str):
        text = _UID.sub(lambda found: f"<{uids.get(found[0], 'uid of no object')}>", value)
        return _JOB.sub(r"\1-<hash>", _TIME.sub("<time>", text))
    return value


def differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """The fields that differ, one line each."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted({*expected, *found}):
            inner = f"{path}.{name}" if path else name
            if name not in found:
                yield f"{inner} is missing; expected {_shown(expected[name])}"
            elif name not in expected:
                yield f"{inner} is not expected: {_shown(found[name])}"
            else:
                yield from differences(expected[name], found[name], inner)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif expected != found:
        yield f"{path} is {_shown(found)}; expected {_shown(expected)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:160] + " ..."
