"""What makes the endpoints of a server protected: its certificate, and the check of each request.

Contract of :class:`Protection`:
    * Entering the context loads or creates the certificate, or raises an error that says what to change.
    * Files are checked every :data:`CHECK_SECONDS`. New connections get the new certificate; others continue. If the
      new files cannot be used, the old certificate stays in use, a warning is logged, and the next check tries again.
    * A self-signed certificate is replaced :data:`RENEW_BEFORE` its end.
    * A handler is called only for clients that :class:`Access` allows. Others get 401, 403 or 503, with a text that
      contains nothing of the request.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, Self, final

import structlog
from aiohttp import web

from aimctl.runtime.kube.errors import ConfigurationError
from aimctl.runtime.manager.serving.secure.access import Access, Verdict
from aimctl.runtime.manager.serving.secure.certificates import Certificate, from_folder, self_signed

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client
    from aimctl.runtime.manager.serving.http import Routes, SignIn
    from aimctl.runtime.manager.serving.secure.options import SecureServing

__all__ = ["CertificateMetrics", "Protection"]

CHECK_SECONDS = 10.0
RENEW_BEFORE = timedelta(days=30)

_TEXTS: Mapping[Verdict, str] = {
    Verdict.UNAUTHENTICATED: "Unauthorized: a valid bearer token is needed\n",
    Verdict.FORBIDDEN: "Forbidden: the user of the token may not get this path\n",
    Verdict.UNAVAILABLE: "Service Unavailable: the token or the permission could not be checked\n",
}
_HEADERS: Mapping[Verdict, Mapping[str, str]] = {
    Verdict.UNAUTHENTICATED: {"WWW-Authenticate": "Bearer"},
    Verdict.UNAVAILABLE: {"Retry-After": "1"},
}


class CertificateMetrics(Protocol):
    """Receives what happens to the certificate of a server."""

    def certificate_read(self, *, failed: bool) -> None:
        """The certificate was loaded or created, or that failed."""
        ...

    def certificate_expires(self, certificate: str, timestamp: float) -> None:
        """When the certificate in use ends, as seconds since 1970."""
        ...


@final
class Protection:
    """Protects the endpoints of one server.

    Args:
        options: certificate and audiences.
        client: sends the reviews, unless the options name another one.
        clock: time.
        metrics: of the certificate.
        name: of the certificate, in metrics.
        logger: for warnings.
    """

    def __init__(
        self,
        options: SecureServing,
        client: Client,
        *,
        clock: Clock,
        metrics: CertificateMetrics,
        name: str = "metrics",
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        self._folder = options.cert_dir
        self._clock = clock
        self._metrics = metrics
        self._name = name
        self._log: FilteringBoundLogger = logger or structlog.get_logger(__name__)
        # Reviews are not writes of a leader: they are neither fenced nor observed by the cache.
        sender = (options.reviewer or client).with_(write_guard=None, on_write=None, on_delete=None)
        self._access = Access(sender, options.audiences, clock=clock, logger=logger)
        self._certificate: Certificate | None = None
        self._failure = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Load the certificate, and start to check it.

        Raises:
            ConfigurationError: it cannot be loaded.
        """
        self._use(await asyncio.to_thread(self._load))
        await self._stack.enter_async_context(self._access)
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        checks = tasks.create_task(self._check_forever(), name="certificate of the metrics")
        self._stack.callback(checks.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the checks and the reviews."""
        await self._stack.aclose()

    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        assert self._certificate is not None  # noqa: S101 - set on entry
        return self._certificate.context

    def protect(self, routes: Routes, sign_in: SignIn | None = None) -> Routes:
        """The same routes, for clients that are allowed to read them; ``sign_in`` is as for :class:`HttpServer`."""
        return {path: self._protected(handler, sign_in) for path, handler in routes.items()}

    async def check(self) -> None:
        """Use the current files, or renew the self-signed certificate. A failure is logged and counted."""
        try:
            found = await asyncio.to_thread(self._load)
        except ConfigurationError as error:
            self._metrics.certificate_read(failed=True)
            if str(error) != self._failure:
                self._failure = str(error)
                self._log.warning(
                    "the certificate stays in use: the new one cannot be loaded", error=str(error)
                )
            return
        self._failure = ""
        if found is not self._certificate:
            self._use(found)
            self._log.info("certificate replaced", expires=found.expires.isoformat())

    def _load(self) -> Certificate:
        """Runs in a thread."""
        current, now = self._certificate, self._clock.now()
        if self._folder:
            return from_folder(self._folder, current)
        return current if current is not None and now < current.expires - RENEW_BEFORE else self_signed(now)

    def _use(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self._metrics.certificate_read(failed=False)
        self._metrics.certificate_expires(self._name, certificate.expires.timestamp())

    async def _check_forever(self) -> None:
        while True:
            await self._clock.sleep(CHECK_SECONDS)
            await self.check()

    def _protected(
        self, handler: Callable[[web.Request], Awaitable[web.Response]], sign_in: SignIn | None
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def protected(request: web.Request) -> web.Response:
            verdict = await self._access.decide(request.headers.getall("Authorization", []), request.path)
            if verdict is Verdict.ALLOWED:
                return await handler(request)
            if verdict is Verdict.UNAUTHENTICATED and sign_in and (response := sign_in(request)):
                return response
            return web.Response(status=verdict.value, text=_TEXTS[verdict], headers=_HEADERS.get(verdict))

        return protected
