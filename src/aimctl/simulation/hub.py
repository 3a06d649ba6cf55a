"""The model hubs and buckets of the simulation: the entries ``downloads`` of the catalogue.

Contract: the first entry whose glob matches the URI of a source applies. A source without an entry exists and is
public.
"""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GIB", "Deployment", "DownloadEntry", "DownloadFail", "Strict", "failed"]

GIB = 1024**3

_HUB_ERRORS = "huggingface_hub.errors"
_S3_ERROR = "botocore.exceptions.ClientError: An error occurred"
_REQUEST = "(Request ID: simulated)"

DownloadFail = Literal[
    "not-found",
    "crash",
    "out-of-memory",
    "unreachable",
    "unavailable",
    "rate-limited",
    "incomplete",
    "stalls",
]


class Strict(BaseModel):
    """A part of the catalogue: immutable, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class Deployment(Strict):
    """A recommended deployment of an image."""

    gpu_model: str = "MI300X"
    gpu_count: Annotated[int, Field(ge=0)] = 1
    precision: str = "fp16"
    metric: str = "latency"
    profile_id: str = ""
    description: str = ""

    def label(self) -> dict[str, str | int]:
        """The form in the labels of an image."""
        return {
            "gpuModel": self.gpu_model,
            "gpuCount": self.gpu_count,
            "precision": self.precision,
            "metric": self.metric,
            "profileId": self.profile_id,
            "description": self.description,
        }


@final
class DownloadEntry(Strict):
    """The outcome of the download of a source."""

    source: Annotated[str, Field(min_length=1)]
    """A glob over the URI, such as ``hf://meta-llama/*``."""
    size_gb: Annotated[float, Field(gt=0)] | None = None
    """In GiB. None takes the size in a discovery answer of the catalogue, else nine tenths of the volume."""
    gb_per_second: Annotated[float, Field(gt=0)] = 1.0
    needs_token: bool = False
    """Rejected (401) without ``HF_TOKEN`` for hf://, or ``AWS_SECRET_ACCESS_KEY`` for s3://."""
    tokens: tuple[str, ...] = ()
    """The accepted tokens; others are rejected (403). Empty accepts any."""
    fail: DownloadFail | None = None
    fail_at: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """The fraction that is downloaded before ``fail`` or ``fail_first`` takes effect."""
    exit_code: Annotated[int, Field(ge=1, le=255)] = 1
    """The exit code for ``fail: crash``."""
    fail_first: Annotated[int, Field(ge=0)] = 0
    """The number of runs into a volume that lose their connection. Each continues where the previous one stopped."""

    @model_validator(mode="after")
    def _tokens_are_needed(self) -> DownloadEntry:
        if self.tokens and not self.needs_token:
            raise ValueError("has tokens without needs_token: add needs_token: true, or remove tokens")
        return self

    def fits(self, source: str) -> bool:
        """Whether this entry applies to a source."""
        return fnmatch.fnmatchcase(source, self.source)

    def rejection(self, source: str, env: Mapping[str, str]) -> tuple[str, ...]:
        """The log lines of a download that cannot start; empty if it can."""
        lines = self._outage(source)
        if lines or not self.needs_token:
            return lines
        s3 = source.startswith("s3://")
        names = ("AWS_SECRET_ACCESS_KEY",) if s3 else ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
        token = next((env[name] for name in names if env.get(name)), "")
        if token and (not self.tokens or token in self.tokens):
            return ()
        text = f"{_S3_ERROR} (403) when calling the ListObjectsV2 operation: Forbidden"
        return (text if s3 else _gated(source, known=bool(token)), failed("AccessDenied"))

    def _outage(self, source: str) -> tuple[str, ...]:
        match self.fail:
            case "unreachable":
                text = "ConnectionError: Max retries exceeded: Temporary failure in name resolution"
                return (text, failed("SourceUnavailable"))
            case "unavailable":
                return ("HTTP status 503: HfHubHTTPError: Service Unavailable", failed("SourceUnavailable"))
            case "rate-limited":
                return ("HTTP status 429: HfHubHTTPError: Too Many Requests", failed("RateLimited"))
            case "not-found":
                return (_missing(source), failed("SourceNotFound"))
            case _:
                return ()


def failed(reason: str) -> str:
    """The line by which the download program reports why it failed."""
    return json.dumps({"aimctl": "failed", "reason": reason}, separators=(",", ":"))


def _missing(source: str) -> str:
    if source.startswith("s3://"):
        return f"{_S3_ERROR} (404): {source} does not exist"
    url = _hub_url(source)
    return f"{_HUB_ERRORS}.RepositoryNotFoundError: 404 Client Error. {_REQUEST} Repository Not Found for url: {url}."


def _gated(source: str, *, known: bool) -> str:
    why = " and you are not in the authorized list" if known else ". You must be authenticated to access it"
    status = 403 if known else 401
    return (
        f"{_HUB_ERRORS}.GatedRepoError: {status} Client Error. {_REQUEST} Access to model {_repository(source)} is"
        f" restricted{why}."
    )


def _repository(source: str) -> str:
    return "/".join(source.partition("://")[2].split("/")[:2])


def _hub_url(source: str) -> str:
    return f"https://huggingface.co/api/models/{_repository(source)}/revision/main"
