"""What the libraries of a model hub and of S3 write when they fail.

Contract: :func:`hub_problem` accepts any text, never raises, and takes time in proportion to the length of the text.
The status of the last response decides, otherwise words. The caller passes the end of a log: an error long before the
end is not the cause.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ACCESS_DENIED",
    "RATE_LIMITED",
    "SOURCE_NOT_FOUND",
    "SOURCE_UNAVAILABLE",
    "VOLUME_FULL",
    "hub_problem",
]

VOLUME_FULL = "VolumeFull"
ACCESS_DENIED = "AccessDenied"
SOURCE_NOT_FOUND = "SourceNotFound"
SOURCE_UNAVAILABLE = "SourceUnavailable"
RATE_LIMITED = "RateLimited"

_FULL = re.compile(r"no space left on device|disk quota exceeded|errno 28\b|errno 122\b", re.IGNORECASE)
_STATUS = re.compile(
    r"\b([45]\d\d) (?:client|server) error|(?:client|server) error '([45]\d\d) |\(([45]\d\d)\) when calling"
    r"|hubhttperror: ([45]\d\d) [a-z]|\bhttp(?: error| status)?:? ([45]\d\d)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"gatedrepoerror|access to model .{1,200} is restricted|invalid username or password|invalid credentials"
    r"|invalid user token|accessdenied|access denied|signaturedoesnotmatch|invalidaccesskeyid|expiredtoken"
    r"|unable to locate credentials|nocredentialserror",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"repositorynotfounderror|revisionnotfounderror|(?<!local)entrynotfounderror|nosuchbucket|nosuchkey"
    r"|no model found in",
    re.IGNORECASE,
)
_LIMITED = re.compile(r"\(slowdown\) when calling|too many requests", re.IGNORECASE)
_UNAVAILABLE = re.compile(
    r"\b\w{0,30}connect(?:ion)?error\b|\b\w{0,30}timeout(?:error)?\b|connection refused|connection reset|timed out"
    r"|name resolution|name or service not known|max retries exceeded|localentrynotfounderror",
    re.IGNORECASE,
)
_BY_STATUS: Mapping[int, str] = {
    401: ACCESS_DENIED,
    403: ACCESS_DENIED,
    404: SOURCE_NOT_FOUND,
    408: SOURCE_UNAVAILABLE,
    410: SOURCE_NOT_FOUND,
    429: RATE_LIMITED,
    500: SOURCE_UNAVAILABLE,
    502: SOURCE_UNAVAILABLE,
    503: SOURCE_UNAVAILABLE,
    504: SOURCE_UNAVAILABLE,
}
_BY_WORDS = (
    (_DENIED, ACCESS_DENIED),
    (_ABSENT, SOURCE_NOT_FOUND),
    (_LIMITED, RATE_LIMITED),
    (_UNAVAILABLE, SOURCE_UNAVAILABLE),
)


def hub_problem(end: str) -> str:
    """The reason that follows from the end of a log, one of the constants above; "" if there is none."""
    if _FULL.search(end):
        return VOLUME_FULL
    statuses = [int(next(filter(None, found.groups()))) for found in _STATUS.finditer(end)]
    if statuses and statuses[-1] in _BY_STATUS:
        return _BY_STATUS[statuses[-1]]
    return next((reason for pattern, reason in _BY_WORDS if pattern.search(end)), "")
