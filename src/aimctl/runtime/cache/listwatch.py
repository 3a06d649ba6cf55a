"""The interface between a reflector and the client: two verbs, and the scope they apply to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from aimctl.kubetypes import Resource
    from aimctl.runtime.kube.answers import ObjectList
    from aimctl.runtime.kube.errors import DecodeError
    from aimctl.runtime.kube.watch import WatchEvent

__all__ = ["ListWatch", "Scope"]

T = TypeVar("T")


class ListWatch(Protocol):
    """The two verbs that a reflector uses; implemented by ``aimctl.runtime.kube.Client``."""

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int | None = None,
        continue_token: str = "",
        resource_version: str | None = None,
        resource_version_match: str = "",
        metadata_only: bool = False,
    ) -> ObjectList[T]:
        """One page, or all objects if ``limit`` is None. Raises KubeError."""
        ...

    def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str,
        timeout_seconds: int,
        idle_seconds: float,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        on_decode_error: Callable[[DecodeError], None] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[T]]]:
        """Events after ``resource_version``, with bookmarks. Raises KubeError."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Scope:
    """A part of a kind: a namespace ("" for all), restricted by selectors, as full objects or metadata only."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False
