"""Why a download failed, as a reason and a sentence with the remedy, and when the next attempt is made.

Contract: :func:`explain` accepts any output of a container and never raises. The report of the program decides. Without
one (the container was killed, or the image runs something else), the end of the log decides, as
:func:`~aimctl.domain.jobs.hub_errors.hub_problem` reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.caching.download_job import MEMORY_LIMIT
from aimctl.domain.caching.download_log import CONTAINER, own_output, parse_reason
from aimctl.domain.conditions import MAX_MESSAGE, abridge, ending, list_few, two_sentences
from aimctl.domain.excerpts import without_control_sequences
from aimctl.domain.jobs.hub_errors import (
    ACCESS_DENIED,
    RATE_LIMITED,
    SOURCE_NOT_FOUND,
    SOURCE_UNAVAILABLE,
    VOLUME_FULL,
    hub_problem,
)
from aimctl.domain.jobs.outcome import Cause, JobKind
from aimctl.domain.jobs.retries import denied_pause, short_pause
from aimctl.kubetypes.helpers.backoff import exponential_delay
from aimctl.kubetypes.quantity import readable_quantity

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
    "OUT_OF_MEMORY",
    "RATE_LIMITED",
    "SETUP_FAILED",
    "SOURCE_NOT_FOUND",
    "SOURCE_UNAVAILABLE",
    "VERIFICATION_FAILED",
    "VOLUME_FULL",
    "Explanation",
    "explain",
    "pause_after",
]

VERIFICATION_FAILED = "VerificationFailed"
IMAGE_PULL_FAILED = "ImagePullFailed"
SETUP_FAILED = "ContainerSetupFailed"
OUT_OF_MEMORY = "OutOfMemory"
DOWNLOAD_FAILED = "DownloadFailed"
"""Reasons, besides those of :mod:`aimctl.domain.jobs.hub_errors`. Other reasons that the kubelet gives for the end of a
pod, such as ``Evicted``, are used as they are.
"""

_DENIED = frozenset({ACCESS_DENIED, SETUP_FAILED})
_UNAVAILABLE = frozenset({IMAGE_PULL_FAILED, RATE_LIMITED, SOURCE_UNAVAILABLE})
"""Reasons whose cause may be removed without a change of the model cache: access is granted, a Secret is corrected, a
server is available again. The pauses after them are short, because nothing reports that.
"""

_REPORTED = frozenset(
    {
        ACCESS_DENIED,
        DOWNLOAD_FAILED,
        RATE_LIMITED,
        SOURCE_NOT_FOUND,
        SOURCE_UNAVAILABLE,
        VERIFICATION_FAILED,
        VOLUME_FULL,
    }
)

DOWNLOAD_JOB = JobKind(
    "download",
    CONTAINER,
    image_remedy="correct spec.modelDownloadImage",
    secrets_of="template, service or cache",
    env_remedy="create it, or correct env in the model cache, the template or the runtime config",
    hang="the download hangs",
    memory=f"its memory limit is {MEMORY_LIMIT}, and the next attempt continues with the files on the volume",
)

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)

_MAX_MESSAGE = MAX_MESSAGE - 50
"""Leaves room for the time of the next attempt."""

_MIN_DETAIL = 40
"""Characters of the failure itself, after the remedy."""

_TAIL_BYTES = 16 * 1024
_TAIL_LINES = 40

_CREDENTIALS = re.compile(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_WORD = re.compile("[A-Za-z][A-Za-z0-9]{0,63}")


@final
@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a download failed.

    Attributes:
        reason: of the condition.
        message: of the condition.
        denied: whether the pod lacks access: to its image, to an object that it refers to, or to the source.
    """

    reason: str
    message: str
    denied: bool = False


def explain(
    failed: Failed,
    log: bytes,
    *,
    source: str,
    claim: str,
    requested: str,
    env: Iterable[Mapping[str, Any]],
    missing: str = "",
) -> Explanation:
    """Why a download failed.

    Args:
        failed: the failure of the Job.
        log: the end of the container's log, or its termination message.
        source: the URI.
        claim: name of the volume claim.
        requested: size of the volume claim.
        env: the environment of the container as JSON, for the names of Secrets.
        missing: which objects do not exist that the pod refers to; "" if all exist, or if that is unknown.
    """
    reason, remedy = DOWNLOAD_FAILED, ""
    match failed.cause:
        case Cause.IMAGE | Cause.IMAGE_ACCESS | Cause.IMAGE_NAME:
            reason = IMAGE_PULL_FAILED
        case Cause.SETUP:
            reason = SETUP_FAILED
        case Cause.CONTAINER if failed.detail == "OOMKilled":
            reason = OUT_OF_MEMORY
        case Cause.CONTAINER:
            reason = parse_reason(log, _REPORTED) or hub_problem(_end_of(log)) or reason
            remedy = _remedy(reason, source, claim, requested, env)
        case Cause.POD if _WORD.fullmatch(failed.detail):
            reason = failed.detail
    denied = reason in _DENIED or failed.cause in (Cause.IMAGE_ACCESS, Cause.IMAGE_NAME)
    if missing and failed.cause is Cause.SETUP:
        return Explanation(reason, missing, denied)
    if missing and reason == IMAGE_PULL_FAILED:
        detail = abridge(failed.message, max(_MIN_DETAIL, _MAX_MESSAGE - len(missing)))
        return Explanation(reason, abridge(two_sentences(missing, detail), _MAX_MESSAGE), denied)
    detail, room = failed.message, max(_MIN_DETAIL, _MAX_MESSAGE - len(remedy))
    if remedy and len(detail) > room:
        detail = f"... {ending(detail, room - 4)}"  # the last line of the log says most
    detail = abridge(detail, room)
    return Explanation(reason, abridge(f"{remedy}{detail}", _MAX_MESSAGE), denied)


def pause_after(failures: int, reason: str = "", *, denied: bool = False) -> timedelta:
    """The pause after this number of failed downloads in a row, the last one for this reason.

    It is 30 s, doubled each time, at most an hour. For a cause that may be removed at any time it is at most 40 s, or
    what :func:`~aimctl.domain.jobs.retries.denied_pause` returns if access is denied.
    """
    first = FIRST_PAUSE.total_seconds()
    if denied:
        return timedelta(seconds=denied_pause(failures, first))
    if reason in _UNAVAILABLE:
        return timedelta(seconds=short_pause(failures, first))
    return timedelta(seconds=exponential_delay(max(0, failures - 1), first, LONGEST_PAUSE.total_seconds()))


def _remedy(reason: str, source: str, claim: str, requested: str, env: Iterable[Mapping[str, Any]]) -> str:
    """A sentence with the cause and the remedy; empty if there is none beyond the end of the log."""
    remedies = {
        VOLUME_FULL: f"the volume of {readable_quantity(requested)} is full: correct spec.size, then expand or delete"
        f" PersistentVolumeClaim {claim!r}",
        ACCESS_DENIED: f"{source} denies access{_credentials(source, env)}",
        SOURCE_NOT_FOUND: f"{source} was not found: correct it in the template or the image (sourceURI is immutable)",
        RATE_LIMITED: f"the server of {source} limits the rate of requests, and the download is tried again",
        SOURCE_UNAVAILABLE: f"the server of {source} is unreachable or has an error, and the download is tried again",
        VERIFICATION_FAILED: f"a file is not as the server of {source} lists it, and is downloaded again",
    }
    return f"{remedies[reason]}; " if reason in remedies else ""


def _end_of(log: bytes) -> str:
    end = own_output(log[-_TAIL_BYTES:]).decode(errors="replace")
    return "\n".join(without_control_sequences(end).splitlines()[-_TAIL_LINES:])


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
        return f" with the given credentials ({list_few(given, limit=2)}): check that they are valid and sufficient"
    wanted = "HF_TOKEN" if source.startswith("hf:") else "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    where = "env of the model cache, the template or the runtime config"
    return f", and the download has no {wanted}: set it in {where}, from a Secret"
