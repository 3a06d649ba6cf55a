"""What the server answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.wire.rendering import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aimctl.devcluster.apiserver.wire.statuses import StatusError

__all__ = ["ApiResponse", "json_response", "status_response"]

_JSON = {"Content-Type": "application/json"}


@final
@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response. ``body`` is complete, or a stream that its reader has to close."""

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes]


def json_response(status: int, body: Mapping[str, Any]) -> ApiResponse:
    """A JSON document."""
    return ApiResponse(status, _JSON, encode(body))


def status_response(error: StatusError) -> ApiResponse:
    """An error as its Status."""
    return ApiResponse(error.code, {**_JSON, **error.headers}, encode(error.body))
