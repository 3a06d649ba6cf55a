"""Why a download failed, as a reason and a sentence with the remedy, and when the next attempt is made.

That is after a pause, or as soon as a Secret changes that may be the cause.

Contract: :func:`explain` accepts any output of a container and never raises. The report of the program decides. Without
one (the container was killed, or the image runs something else), the end of the log decides, as the libraries of the
hub and of S3 write it: the status of the last response, otherwise words. An error long before the end is not the cause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.caching.download_log import CONTAINER, own_output, parse_reason
from aimctl.domain.conditions import MAX_MESSAGE, clip
from aimctl.domain.hashing import digest
from aimctl.domain.jobs.outcome import Cause, JobKind
from aimctl.domain.plan import Get
from aimctl.kubetypes.builtin import SECRETS
from aimctl.kubetypes.helpers.backoff import exponential_delay

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.domain.caching.download_job import DownloadInput
    from aimctl.domain.jobs.outcome import Failed
    from aimctl.domain.plan import Known

__all__ = [
    "ACCESS_DENIED",
    "DOWNLOAD_FAILED",
    "DOWNLOAD_JOB",
    "FIRST_PAUSE",
    "IMAGE_PULL_FAILED",
    "LONGEST_PAUSE",
    "OF_SECRETS",
    "OUT_OF_MEMORY",
    "RATE_LIMITED",
    "SETUP_FAILED",
    "SOURCE_NOT_FOUND",
    "SOURCE_UNAVAILABLE",
    "TEMPORARY",
    "VERIFICATION_FAILED",
    "VOLUME_FULL",
    "Explanation",
    "explain",
    "pause_after",
    "secret_versions",
    "secrets_of",
]

VOLUME_FULL = "VolumeFull"
ACCESS_DENIED = "AccessDenied"
SOURCE_NOT_FOUND = "SourceNotFound"
SOURCE_UNAVAILABLE = "SourceUnavailable"
RATE_LIMITED = "RateLimited"
VERIFICATION_FAILED = "VerificationFailed"
IMAGE_PULL_FAILED = "ImagePullFailed"
SETUP_FAILED = "ContainerSetupFailed"
OUT_OF_MEMORY = "OutOfMemory"
DOWNLOAD_FAILED = "DownloadFailed"
"""Reasons. Other reasons that the kubelet gives for the end of a pod, such as ``Evicted``, are used as they are."""

OF_SECRETS = frozenset({ACCESS_DENIED, IMAGE_PULL_FAILED, SETUP_FAILED})
"""Reasons that may be caused by a Secret."""

TEMPORARY = frozenset({SOURCE_UNAVAILABLE, RATE_LIMITED})
"""Reasons that end without a change in the cluster. The pauses after them stay short."""

_REPORTED = frozenset(
    {ACCESS_DENIED, DOWNLOAD_FAILED, SOURCE_NOT_FOUND, VERIFICATION_FAILED, VOLUME_FULL, *TEMPORARY}
)

DOWNLOAD_JOB = JobKind(
    "download",
    CONTAINER,
    image_remedy="correct spec.modelDownloadImage",
    access_remedy="check spec.imagePullSecrets",
    env_remedy="create it, or correct env in the model cache, the template or the runtime config",
    hang="the download hangs",
)

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
LONGEST_TEMPORARY_PAUSE = timedelta(seconds=40)
"""For :data:`TEMPORARY` reasons: with the start of a pod, a download continues within a minute."""

_MAX_MESSAGE = MAX_MESSAGE - 128
"""Leaves room for the time of the next attempt."""

_TAIL_BYTES = 16 * 1024
_TAIL_LINES = 40

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
_CREDENTIALS = re.compile(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_WORD = re.compile("[A-Za-z][A-Za-z0-9]{0,63}")


@final
@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a download failed: reason and message of a condition."""

    reason: str
    message: str


def explain(
    failed: Failed, log: bytes, *, source: str, claim: str, requested: str, env: Iterable[Mapping[str, Any]]
) -> Explanation:
    """Why a download failed.

    Args:
        failed: the failure of the Job.
        log: the end of the container's log, or its termination message.
        source: the URI.
        claim: name of the volume claim.
        requested: size of the volume claim.
        env: the environment of the container as JSON, for the names of Secrets.
    """
    reason, remedy = DOWNLOAD_FAILED, ""
    match failed.cause:
        case Cause.IMAGE:
            reason = IMAGE_PULL_FAILED
        case Cause.SETUP:
            reason = SETUP_FAILED
        case Cause.CONTAINER if failed.detail == "OOMKilled":
            reason = OUT_OF_MEMORY
        case Cause.CONTAINER:
            reason = parse_reason(log, _REPORTED) or _reason_in(_end_of(log))
            remedy = _remedy(reason, source, claim, requested, env)
        case Cause.POD if _WORD.fullmatch(failed.detail):
            reason = failed.detail
    return Explanation(reason, clip(f"{remedy}{failed.message}", _MAX_MESSAGE))


def pause_after(failures: int, reason: str = "") -> timedelta:
    """The pause after this number of failed downloads in a row, the last one for this reason.

    It is 30 s, doubled each time, at most an hour, and at most 40 s for a reason that is temporary.
    """
    longest = LONGEST_TEMPORARY_PAUSE if reason in TEMPORARY else LONGEST_PAUSE
    seconds = exponential_delay(max(0, failures - 1), FIRST_PAUSE.total_seconds(), longest.total_seconds())
    return timedelta(seconds=seconds)


def secrets_of(input_: DownloadInput, namespace: str) -> tuple[Get, ...]:
    """Reads of the Secrets that a download uses, without their content."""
    references = (((item.get("valueFrom") or {}).get("secretKeyRef") or {}) for item in input_.env)
    names = (item["name"] for item in references if item)
    return tuple(
        Get(SECRETS, namespace, name, metadata_only=True)
        for name in dict.fromkeys((*names, *input_.pull_secrets))
    )


def secret_versions(secrets: Iterable[Get], known: Known) -> str | None:
    """A text that changes with each change of one of the Secrets, also when one is created or deleted.

    Returns:
        None if they have not been read; empty if the operator may not read them.
    """
    versions = {}
    for secret in secrets:
        result = known.reads.get(secret)
        if result is None:
            return None
        if result.forbidden:
            return ""
        versions[secret.name] = result.object.meta.resource_version if result.object is not None else ""
    return digest(versions)[:16]


def _reason_in(end: str) -> str:
    """The reason that follows from the last output of a library."""
    if _FULL.search(end):
        return VOLUME_FULL
    statuses = [int(next(filter(None, found.groups()))) for found in _STATUS.finditer(end)]
    if statuses and statuses[-1] in _BY_STATUS:
        return _BY_STATUS[statuses[-1]]
    return next((reason for pattern, reason in _BY_WORDS if pattern.search(end)), DOWNLOAD_FAILED)


def _remedy(reason: str, source: str, claim: str, requested: str, env: Iterable[Mapping[str, Any]]) -> str:
    """A sentence with the cause and the remedy; empty if there is none beyond the end of the log."""
    remedies = {
        VOLUME_FULL: f"the volume of {requested} is full: set spec.size to the size of {source}, then expand"
        f" PersistentVolumeClaim {claim!r} or delete it to have a larger one created",
        ACCESS_DENIED: f"{source} denies access{_credentials(source, env)}",
        SOURCE_NOT_FOUND: f"{source} was not found: correct the URI of the source",
        RATE_LIMITED: f"the server of {source} limits the rate of requests, and the download is tried again",
        SOURCE_UNAVAILABLE: f"the server of {source} is unreachable or has an error, and the download is tried again",
        VERIFICATION_FAILED: f"a file is not as the server of {source} lists it, and is downloaded again",
    }
    return f"{remedies[reason]}; " if reason in remedies else ""


def _end_of(log: bytes) -> str:
    lines = own_output(log[-_TAIL_BYTES:]).decode(errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _credentials(source: str, env: Iterable[Mapping[str, Any]]) -> str:
    """The credentials of the download, named so that a user knows which to correct."""
    given = []
    for item in env:
        name = str(item.get("name"))
        secret = (item.get("valueFrom") or {}).get("secretKeyRef")
        if secret:
            given.append(f"{name} from key {secret.get('key')!r} of Secret {secret.get('name')!r}")
        elif _CREDENTIALS.search(name):
            given.append(f"{name} from env")
    if given:
        return f" with the given credentials ({clip(', '.join(given), 400)}): check that they are valid and sufficient"
    wanted = "HF_TOKEN" if source.startswith("hf:") else "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    where = "env of the model cache, the template or the runtime config"
    return f", and the download has no {wanted}: set it in {where}, from a Secret"
