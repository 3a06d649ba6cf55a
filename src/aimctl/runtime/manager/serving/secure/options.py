"""The options of protected endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimctl.runtime.arguments import check_texts

if TYPE_CHECKING:
    from aimctl.runtime.kube import Client

__all__ = ["SecureServing"]


@dataclass(frozen=True, slots=True)
class SecureServing:
    """Options of endpoints with TLS, whose clients need a bearer token and a permission.

    Attributes:
        cert_dir: folder with ``tls.crt`` and ``tls.key`` (PEM, without a password), as in a mounted Secret of the type
            ``kubernetes.io/tls``. They are loaded again when they change. "" for a self-signed certificate.
        audiences: a token must have one of them; empty for those of the API server.
        reviewer: the client that sends the reviews; None for the connection of the manager.
    """

    cert_dir: str = ""
    audiences: tuple[str, ...] = ()
    reviewer: Client | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: a value has the wrong type.
            ValueError: an audience is empty.
        """
        if not isinstance(self.cert_dir, str):
            raise TypeError(f"cert_dir={self.cert_dir!r}: use the path of a folder, or ''")
        check_texts("audiences", self.audiences)
        if "" in self.audiences:
            raise ValueError(f"audiences={self.audiences!r}: an audience must not be empty")
