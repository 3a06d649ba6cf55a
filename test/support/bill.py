"""What a manager asked of the API server, counted by verb and resource, and what the documents say it asks.

    4 apply aimservicetemplates/status, 1 create jobs

Not counted is what belongs to the manager and no object causes: watches, the lease, and the question whether KServe
is installed by now.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.runtime.kube.transport import HttpRequest

__all__ = ["Bill", "bill", "shown", "told"]

Bill = Counter[str]
PAGE = Path(__file__).parents[2] / "docs" / "api-cost.md"

_PATH = re.compile(
    r"/(?:api|apis/[^/]+)/[^/]+/(?:namespaces/[^/]+/)?(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>.+))?)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def bill(requests: Iterable[HttpRequest]) -> Bill:
    """Count them. Both scopes of a kind count as one."""
    items = (_item(request) for request in requests)
    return Counter(item for item in items if item)


def _item(request: HttpRequest) -> str:
    found = _PATH.fullmatch(request.path)
    if found is None:
        return f"{request.method} {request.path}"
    if ("watch", "true") in request.query or found["plural"] == "leases":
        return ""
    verb = _VERBS.get(request.method) or ("get" if found["name"] else "list")
    if (verb, found["plural"]) == ("list", "inferenceservices"):
        return ""
    if "apply-patch" in request.headers.get("Content-Type", ""):
        verb = "apply"
    if found["plural"] == "events":
        return "write events"  # a new one, or one more of a series: that depends on what came before
    plural = found["plural"].replace("aimcluster", "aim")
    return f"{verb} {plural}/{found['sub']}" if found["sub"] else f"{verb} {plural}"


def shown(counted: Bill) -> str:
    """As the documents write it."""
    order = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{times} {item}" for item, times in order) or "none"


def told(table: str) -> dict[str, Bill]:
    """The bills in the table of the page whose head begins with ``table``, by what their rows begin with."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {table} |"))
    bills = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        life, requests, total = (cell.strip() for cell in line.strip("|").split("|"))
        counted = Counter(
            {item: int(times) for times, item in re.findall(r"(\d+) ([a-z]+ [a-z/]+)", requests)}
        )
        assert int(total) == counted.total(), f"{life}: {total} are not {requests}"
        bills[life.partition(":")[0]] = counted
    return bills
