"""Why a download failed, as a reason and a sentence with the remedy, and when the next attempt is made.

That is after a pause, or as soon as a Secret changes that may be the cause.

Contract: :func:`explain` accepts any output of a container and never raises. Only the end of the log counts: an error
after which the downloader has continued (an optional file that does not exist) is not the cause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.caching.download_job import CONTAINER
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
    "SETUP_FAILED",
    "SOURCE_NOT_FOUND",
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
IMAGE_PULL_FAILED = "ImagePullFailed"
SETUP_FAILED = "ContainerSetupFailed"
OUT_OF_MEMORY = "OutOfMemory"
DOWNLOAD_FAILED = "DownloadFailed"
"""Reasons. Other reasons that the kubelet gives for the end of a pod, such as ``Evicted``, are used as they are."""

OF_SECRETS = frozenset({ACCESS_DENIED, IMAGE_PULL_FAILED, SETUP_FAILED})
"""Reasons that may be caused by a Secret."""

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
"""Leaves room for the time of the next attempt."""

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
            reason, remedy = _of_container(_end_of(log), source, claim, requested, env)
        case Cause.POD if _WORD.fullmatch(failed.detail):
            reason = failed.detail
    return Explanation(reason, clip(f"{remedy}{failed.message}", _MAX_MESSAGE))


def pause_after(failures: int) -> timedelta:
    """The pause after this number of failed downloads in a row: 30 s, doubled each time, at most an hour."""
    seconds = exponential_delay(
        max(0, failures - 1), FIRST_PAUSE.total_seconds(), LONGEST_PAUSE.total_seconds()
    )
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


def _of_container(
    end: str, source: str, claim: str, requested: str, env: Iterable[Mapping[str, Any]]
) -> tuple[str, str]:
    """The reason that follows from the last output of the downloader, and a sentence with the remedy."""
    if _FULL.search(end):
        return VOLUME_FULL, (
            f"the volume of {requested} is full: set spec.size to the size of {source}, then expand"
            f" PersistentVolumeClaim {claim!r} or delete it to have a larger one created; "
        )
    if _DENIED.search(end):
        return ACCESS_DENIED, f"{source} denies access{_credentials(source, env)}; "
    if _ABSENT.search(end):
        return SOURCE_NOT_FOUND, f"{source} was not found: correct the URI of the source; "
    return DOWNLOAD_FAILED, ""


def _end_of(log: bytes) -> str:
    lines = log[-_TAIL_BYTES:].decode(errors="replace").splitlines()
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
