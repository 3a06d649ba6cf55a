"""The root of all errors of this library, and those that reading an object can raise.

The other errors are in :mod:`aimctl.runtime.kube.errors`.
"""

from __future__ import annotations

from typing import final

__all__ = ["DecodeError", "KubeError", "MetadataOnly"]


class KubeError(Exception):
    """The root of the hierarchy: catch it to catch every error of the library."""


@final
class DecodeError(KubeError):
    """A body is not the object it should be. The text contains no part of the body."""


@final
class MetadataOnly(KubeError):  # noqa: N818 - like the other names
    """The view of an object was read of which only the metadata is known."""
