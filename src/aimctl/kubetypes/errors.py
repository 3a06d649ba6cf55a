"""The root of all errors of this library, and the one that reading an object can raise.

The other errors are in :mod:`aimctl.runtime.kube.errors`.
"""

from __future__ import annotations

from typing import final

__all__ = ["DecodeError", "KubeError"]


class KubeError(Exception):
    """The root of the hierarchy: catch it to catch every error of the library."""


@final
class DecodeError(KubeError):
    """A body is not the object it should be. The text contains no part of the body."""
