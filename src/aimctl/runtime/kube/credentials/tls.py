"""The SSLContext of a connection, rebuilt when its files change.

A context costs memory and 10 ms, so all sockets share one. New connections use the current context. Connections with an
older one are not reused, because the pool distinguishes them by context.

Invariant: an incomplete rotation (certificate written, key not yet) never replaces a working context.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, final

from aimctl.runtime.kube.credentials.connection import file_stamp
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.credentials.connection import ConnectionInfo

__all__ = ["TlsContext"]

_CHECK_SECONDS = 1.0
"""Shortest time between two checks of the files: rotations take minutes, requests come by the thousand."""


@final
class TlsContext:
    """The current SSLContext of one connection. Use it on one event loop."""

    def __init__(self, info: ConnectionInfo, *, clock: Clock) -> None:
        self._info = info
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._stamp: object = None
        self._checked_at = float("-inf")

    def current(self) -> ssl.SSLContext | None:
        """The context for a new request, or None for plain HTTP.

        Raises:
            ConfigurationError: it cannot be built, and there is no earlier one. Names the file and the remedy.
        """
        if not self._info.server.startswith("https://"):
            return None
        now = self._clock.monotonic()
        if self._context is not None and now - self._checked_at < _CHECK_SECONDS:
            return self._context
        self._checked_at = now
        cert_file, key_file = self._client_files()
        paths = [path for path in (self._info.ca_file, cert_file, key_file) if path]
        stamp = [(path, file_stamp(path)) for path in paths]
        if self._context is None or stamp != self._stamp:
            try:
                self._context = self._build(cert_file, key_file)
                self._stamp = stamp
            except ConfigurationError:
                if self._context is None:
                    raise
        return self._context

    def _client_files(self) -> tuple[str | None, str | None]:
        source = self._info.certificate_source
        files = source.certificate_files() if source is not None else None
        return files if files is not None else (self._info.client_cert_file, self._info.client_key_file)

    def _build(self, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
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
        if cert_file:
            try:
                context.load_cert_chain(cert_file, key_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(
                    f"client certificate {cert_file}, key {key_file or cert_file}: cannot be used ({error}); "
                    "both must be readable PEM files that belong together"
                ) from error
        return context
