"""The root of all errors of this library, and those that reading objects and preparing bodies can raise.

The other errors are in :mod:`aimctl.runtime.kube.errors`.
"""

from __future__ import annotations

from typing import ClassVar, final

import msgspec

__all__ = [
    "JSON_ERRORS",
    "AlreadyOwned",
    "DecodeError",
    "EncodeError",
    "InvalidOwner",
    "KubeError",
    "MetadataOnly",
    "with_remedy",
]

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the expected JSON: not JSON or of another form, not UTF-8, or nested more
deeply than the interpreter can follow."""


class KubeError(Exception):
    """The root of the hierarchy: catch it to catch every error of the library.

    Attributes:
        remedy: what to do about errors of this class, as an instruction; "" if the text of each one has its remedy. It
            is also a note of the error, so that tracebacks show it.
    """

    remedy: ClassVar[str] = ""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        if self.remedy:
            self.add_note(f"remedy: {self.remedy}")


def with_remedy(error: BaseException) -> str:
    """The text of an error, followed by the remedy of its class if it has one: for messages without a traceback."""
    text = str(error)
    remedy = error.remedy if isinstance(error, KubeError) else ""
    return f"{text}; {remedy}" if text and remedy else text or remedy


@final
class DecodeError(KubeError):
    """A body is not the object it should be. The text contains no part of the body."""

    remedy: ClassVar[str] = (
        "check that the address is that of an API server and not of a proxy or login page, and that kind, version,"
        " scope and type of the Resource are those of the server"
    )


@final
class MetadataOnly(KubeError):  # noqa: N818 - like the other names
    """The view of an object was read of which only the metadata is known. The text names the remedy."""


@final
class EncodeError(KubeError):
    """A request body cannot be encoded. The text names the field and the remedy, and has no text of the body."""


@final
class AlreadyOwned(KubeError):  # noqa: N818
    """An object has another controller than the one to be set. The text names both, and the remedy."""


@final
class InvalidOwner(KubeError):  # noqa: N818
    """An object cannot be the owner of another: the garbage collector would delete the dependent.

    The text names the field and the remedy.
    """
