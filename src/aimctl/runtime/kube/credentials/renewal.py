"""Credentials that expire and are fetched again.

Contract:
    * Credentials are renewed before they expire, once for all requests that wait for them.
    * There is one renewal at a time. Requests in the meantime wait for it and share its result, including a failure. If
      the request that renews is cancelled, the next one renews.
    * Credentials that the server has not rejected stay in use until they expire, even if their renewal fails.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, final

from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from aimctl.runtime.clock import Clock

__all__ = ["Issued", "RenewedCredentials"]

_EXPIRY_SKEW = timedelta(minutes=5)
"""Credentials are renewed this long before they expire, or after four fifths of their lifetime if that is later."""

_RETRY_SECONDS = 60.0
"""Pause after a failed renewal while the old credentials are still valid."""


@final
@dataclass(frozen=True, slots=True)
class Issued:
    """Credentials as they were issued.

    Attributes:
        headers: request headers.
        certificate: client certificate and key (PEM), or None.
        expires: None if unknown; then they stay in use until the server rejects them.
        check_seconds: fetch them again after this time, even if they have not expired.
    """

    headers: Mapping[str, str] = field(repr=False)
    certificate: tuple[bytes, bytes] | None = field(default=None, repr=False)
    expires: datetime | None = None
    check_seconds: float = float("inf")


@final
class RenewedCredentials:
    """A :class:`CredentialProvider` and :class:`CertificateSource`.

    Args:
        fetch: gets new credentials; raises ConfigurationError.
        first: the credentials to start with.
        clock: compared with the expiry.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Issued]], first: Issued, *, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._turn = asyncio.Lock()
        self._valid_until = 0.0
        self._refused = False
        self._failure: tuple[float, ConfigurationError] | None = None
        """Time and error of the last failed renewal."""
        self._keep(first)

    async def headers(self) -> Mapping[str, str]:
        """The headers, renewed if they are about to expire.

        Raises:
            ConfigurationError: the renewal failed, and the credentials have expired, were rejected, or have no known
                expiry. A call that waited for the renewal of another one raises a new error with the same message and
                the original as ``__cause__``. The next call tries again.
        """
        asked = self._clock.monotonic()
        if asked >= self._valid_until:
            waited = self._turn.locked()
            async with self._turn:
                if waited and self._failure is not None and self._failure[0] >= asked:
                    raise ConfigurationError(str(self._failure[1])) from self._failure[1]
                if self._clock.monotonic() >= self._valid_until:
                    await self._renew()
        return self._issued.headers

    def invalidate(self) -> None:
        """Renew before the next request."""
        self._valid_until = float("-inf")
        self._refused = True

    def client_certificate(self) -> tuple[bytes, bytes] | None:
        """The certificate that belongs to the current headers."""
        return self._issued.certificate

    async def _renew(self) -> None:
        try:
            self._keep(await self._fetch())
        except ConfigurationError as error:
            now, expires = self._clock.monotonic(), self._issued.expires
            if expires is None or self._refused or expires <= self._clock.now():
                self._failure = now, error
                raise
            self._valid_until = now + _RETRY_SECONDS

    def _keep(self, issued: Issued) -> None:
        self._issued = issued
        self._refused = False
        seconds = issued.check_seconds
        if issued.expires is not None:
            left = issued.expires - self._clock.now()
            seconds = min(seconds, max(left - _EXPIRY_SKEW, left * 0.8).total_seconds())
        self._valid_until = self._clock.monotonic() + seconds
