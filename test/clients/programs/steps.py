"""The steps of a tour: what a client program saw, one line of JSON for each step.

A tour runs against the embedded and against a real API server. Both must print the same lines, so a step notes only
what both must agree on: no uids, no times, no addresses.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["IMAGE", "fails", "note"]

IMAGE = "registry.test/aim-quick:1"
"""An image whose containers write a log and succeed, if they have the argument ``dry-run``."""

_NAMES = re.compile(r"\btour-[0-9-]+[0-9]\b")


def note(step: str, outcome: Any = "done") -> None:
    """Print the outcome of a step, without the name of the namespace."""
    print(_NAMES.sub("NAMESPACE", json.dumps([step, outcome], sort_keys=True)), flush=True)


@contextmanager
def fails(step: str, error: type[Exception]) -> Iterator[None]:
    """Note the error that the block has to raise."""
    try:
        yield
    except error as raised:
        note(step, describe(raised))
    else:
        raise AssertionError(f"{step}: no {error.__name__}")


def describe(error: BaseException) -> Any:
    """The Status of an API error of any of the clients; the class of another error."""
    body = getattr(error, "body", None) or getattr(error, "status", None)
    if isinstance(body, (str, bytes)):
        body = json.loads(body)
    if not isinstance(body, dict):
        to_dict = getattr(body, "to_dict", None)
        body = to_dict() if to_dict is not None else None
    if body is None and getattr(error, "response", None) is not None:
        body = error.response.json()  # type: ignore[attr-defined]  # an error of httpx
    if body is None:
        return type(error).__name__
    message = str(body.get("message")).split("\n@@ ")[0]  # the rest is a difference of structures of Go
    return {"code": body.get("code"), "reason": body.get("reason"), "message": message}
