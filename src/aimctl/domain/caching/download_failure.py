"""Why a download failed, in one word and a sentence that says what would help; and how long to pause after it.

Contract: :func:`explain` takes whatever a container printed and never raises. Only the end of the log counts: a
downloader that goes on after a refusal (an optional file that is not there) has not failed of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.caching.download_job import CONTAINER
from aimctl.domain.conditions import MAX_MESSAGE, clip
from aimctl.domain.jobs.outcome import Cause, JobKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.domain.jobs.outcome import Failed

__all__ = [
    "ACCESS_DENIED",
    "DOWNLOAD_FAILED",
    "DOWNLOAD_JOB",
    "FIRST_PAUSE",
    "IMAGE_PULL_FAILED",
    "LONGEST_PAUSE",
    "OF_SECRETS",
    "OUT_OF_MEMORY",
    "SETUP_FAILED",
    "SOURCE_NOT_FOUND",
    "VOLUME_FULL",
    "Explanation",
    "explain",
    "pause_after",
]

VOLUME_FULL = "VolumeFull"
ACCESS_DENIED = "AccessDenied"
SOURCE_NOT_FOUND = "SourceNotFound"
IMAGE_PULL_FAILED = "ImagePullFailed"
SETUP_FAILED = "ContainerSetupFailed"
OUT_OF_MEMORY = "OutOfMemory"
DOWNLOAD_FAILED = "DownloadFailed"
"""Reasons. ``Evicted`` and other words of the kubelet for the end of a pod are taken as they are."""

OF_SECRETS = frozenset({ACCESS_DENIED, IMAGE_PULL_FAILED, SETUP_FAILED})
"""Reasons that a Secret may be the cause of."""

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

_MAX_MESSAGE = MAX_MESSAGE - 128
"""Leaves room for when it is tried again."""

_TAIL_BYTES = 16 * 1024
_TAIL_LINES = 40

_FULL = re.compile(r"no space left on device|disk quota exceeded|errno 28\b|errno 122\b", re.IGNORECASE)
_DENIED = re.compile(
    r"\b40[13] client error|\(40[13]\) when calling|\bhttp(?: error)?:? 40[13]\b|gatedrepoerror|gated repo"
    r"|access to model .{1,200} is restricted|invalid username or password|invalid credentials"
    r"|invalid user token|accessdenied|access denied|signaturedoesnotmatch|invalidaccesskeyid|expiredtoken"
    r"|unable to locate credentials|nocredentialserror",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"\b404 client error|\(404\) when calling|\bhttp(?: error)?:? 404\b|repositorynotfounderror"
    r"|revisionnotfounderror|entrynotfounderror|nosuchbucket|nosuchkey|no model found in",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_WORD = re.compile("[A-Za-z][A-Za-z0-9]{0,63}")


@final
@dataclass(frozen=True, slots=True)
class Explanation:
    """Why it failed: a condition's reason and message."""

    reason: str
    message: str


def explain(
    failed: Failed, log: bytes, *, source: str, claim: str, requested: str, env: Iterable[Mapping[str, Any]]
) -> Explanation:
    """Why a download failed.

    Args:
        failed: what Kubernetes says.
        log: the end of the container's log, or its termination message.
        source: the URI.
        claim: name of the volume claim.
        requested: its size, for messages.
        env: the container's environment as JSON, for the names of Secrets.
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
            reason, remedy = _of_container(_end_of(log), source, claim, requested, env)
        case Cause.POD if _WORD.fullmatch(failed.detail):
            reason = failed.detail
    return Explanation(reason, clip(f"{remedy}{failed.message}", _MAX_MESSAGE))


def pause_after(failures: int) -> timedelta:
    """How long to wait after so many failed downloads in a row: 30 s, doubled each time, at most an hour."""
    return min(FIRST_PAUSE * (1 << min(max(0, failures - 1), 16)), LONGEST_PAUSE)


def _of_container(
    end: str, source: str, claim: str, requested: str, env: Iterable[Mapping[str, Any]]
) -> tuple[str, str]:
    """What the downloader's last words say: the reason, and a sentence with the remedy."""
    if _FULL.search(end):
        return VOLUME_FULL, (
            f"the volume of {requested} is full: set spec.size to what {source} takes, then expand"
            f" PersistentVolumeClaim {claim!r} or delete it to have a larger one made; "
        )
    if _DENIED.search(end):
        return ACCESS_DENIED, f"{source} refuses access{_credentials(source, env)}; "
    if _ABSENT.search(end):
        return SOURCE_NOT_FOUND, f"{source} was not found: correct the source's URI; "
    return DOWNLOAD_FAILED, ""


def _end_of(log: bytes) -> str:
    lines = log[-_TAIL_BYTES:].decode(errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _credentials(source: str, env: Iterable[Mapping[str, Any]]) -> str:
    """What gives the download its rights, named so that a person knows what to mend."""
    given = []
    for item in env:
        name = str(item.get("name"))
        secret = (item.get("valueFrom") or {}).get("secretKeyRef")
        if secret:
            given.append(f"{name} from key {secret.get('key')!r} of Secret {secret.get('name')!r}")
        elif _CREDENTIALS.search(name):
            given.append(f"{name} from env")
    if given:
        return (
            f" to what it is given ({clip(', '.join(given), 400)}): check that it is right and has the rights"
        )
    wanted = "HF_TOKEN" if source.startswith("hf:") else "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    where = "env of the model cache, the template or the runtime config"
    return f", and the download is given no {wanted}: set it in {where}, from a Secret"
