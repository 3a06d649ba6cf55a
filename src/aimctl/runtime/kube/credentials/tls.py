"""The SSLContext of a connection, rebuilt when its files change.

A context costs memory and 10 ms, so all sockets share one. New connections use the current context. Connections with an
older one are not reused, because the pool distinguishes them by context.

Invariants:
    * An incomplete rotation (certificate written, key not yet) never replaces a working context.
    * A private key that was given as bytes is never written to a disk (on Linux).
    * :attr:`TlsContext.certificate` is the client certificate of the current context.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, final

from yarl import URL

from aimctl.runtime.kube.credentials.connection import file_stamp
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.credentials.connection import ConnectionInfo

__all__ = ["TlsContext", "load_certificate"]

_CHECK_SECONDS = 1.0
"""Shortest time between two checks of the files: rotations take minutes, requests come by the thousand."""


@final
class TlsContext:
    """The current SSLContext of one connection. Use it on one event loop.

    Attributes:
        certificate: the client certificate chain (PEM) that is in use; None without one, or before the first request.
    """

    def __init__(self, info: ConnectionInfo, *, clock: Clock) -> None:
        self._info = info
        self._secure = URL(info.server).scheme == "https"
        self._clock = clock
        self.certificate: bytes | None = None
        self._context: ssl.SSLContext | None = None
        self._stamp: object = None
        self._issued: tuple[bytes, bytes] | None = None
        self._checked_at = float("-inf")

    def current(self) -> ssl.SSLContext | None:
        """The context for a new request, or None for plain HTTP.

        Raises:
            ConfigurationError: it cannot be built, and there is no earlier one. Names the file and the remedy.
        """
        if not self._secure:
            return None
        source = self._info.certificate_source
        issued = source.client_certificate() if source is not None else None
        now = self._clock.monotonic()
        if self._context is not None and issued is self._issued and now - self._checked_at < _CHECK_SECONDS:
            return self._context
        self._checked_at = now
        info = self._info
        paths = [path for path in (info.ca_file, info.client_cert_file, info.client_key_file) if path]
        stamp = [(path, file_stamp(path)) for path in paths]
        if self._context is None or issued is not self._issued or stamp != self._stamp:
            try:
                self._context = self._build(issued)
                self.certificate = self._certificate(issued)
                self._stamp, self._issued = stamp, issued
            except ConfigurationError:
                if self._context is None:
                    raise
        return self._context

    def _certificate(self, issued: tuple[bytes, bytes] | None) -> bytes | None:
        info = self._info
        if issued is not None:
            return issued[0]
        if info.client_cert_file is None:
            return info.client_cert_data
        try:
            return Path(info.client_cert_file).read_bytes()
        except OSError:
            return None  # replaced at this moment: its stamp differs at the next check

    def _build(self, issued: tuple[bytes, bytes] | None) -> ssl.SSLContext:
        info = self._info
        try:
            context = ssl.create_default_context(
                cafile=info.ca_file,
                cadata=None if info.ca_data is None or info.ca_file else info.ca_data.decode("ascii"),
            )
        except (OSError, ssl.SSLError, ValueError) as error:
            name = info.ca_file or "certificate-authority-data"
            raise ConfigurationError(
                f"{name} cannot be used as certificate authority ({error}): it must be a readable PEM file"
            ) from error
        # Enabled by default since Python 3.13. Many cluster authorities lack the key identifiers it requires, and
        # neither kubectl nor client-go requires them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if info.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if issued is not None:
            load_certificate(context, "the exec plugin's certificate", issued[0], issued[1])
        elif info.client_cert_file or info.client_cert_data:
            certificate = info.client_cert_file or info.client_cert_data or b""
            label = f"client certificate {info.client_cert_file or 'client-certificate-data'}"
            if info.client_key_file or info.client_key_data:
                label += f", key {info.client_key_file or 'client-key-data'}"
            load_certificate(context, label, certificate, info.client_key_file or info.client_key_data)
        return context


def load_certificate(
    context: ssl.SSLContext, label: str, certificate: str | bytes, key: str | bytes | None
) -> None:
    """Add a certificate with its private key to a context.

    OpenSSL reads files only. Bytes are passed in an anonymous file in memory, which no other process can open by name
    and which does not outlive this process.

    Args:
        context: of a client or a server.
        label: of the certificate, for messages.
        certificate: text is a path, bytes are PEM.
        key: likewise; None if it is part of the certificate.

    Raises:
        ConfigurationError: they cannot be read, do not belong together, or the key is encrypted.
    """

    def encrypted() -> str:
        raise ConfigurationError(f"{label}: the private key is encrypted; provide a key without a password")

    try:
        with ExitStack() as files:
            context.load_cert_chain(
                files.enter_context(_readable(certificate)),
                None if key is None else files.enter_context(_readable(key)),
                password=encrypted,  # otherwise OpenSSL asks for it on the terminal
            )
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{label}: cannot be used ({error}); both must be readable PEM files that belong together"
        ) from error


@contextmanager
def _readable(content: str | bytes) -> Iterator[str]:
    """The path of a file with this content."""
    if isinstance(content, str):
        yield content
    elif hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        # Not on Linux: a file for this user only, deleted as soon as it was read.
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name
