"""Calls a webhook over HTTP.

Contract:
    * A call never raises: it returns what went wrong, with the words of the real server for the common cases.
    * A webhook is called at its URL, or for a Service at the address in ``services``, with the name of the Service in
      its certificate. The embedded cluster has no network, so a Service without an address cannot be reached.
    * Certificates are verified with the ``caBundle``, or with the authorities of the system without one.
    * Redirects are not followed, proxies are not used, and at most :data:`MAX_BYTES` of a response are read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.webhooks.reviews import Answer, parse_response, review_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.webhooks.matching import Webhook

__all__ = ["MAX_BYTES", "Caller"]

MAX_BYTES = 3 * 1024 * 1024
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@final
class Caller:
    """Calls webhooks. ``services`` has the URLs of Services by (namespace, name), such as ``https://127.0.0.1:9443``."""

    def __init__(self) -> None:
        self.services: dict[tuple[str, str], str] = {}

    async def call(self, webhook: Webhook, request: Mapping[str, Any], uid: str, *, mutating: bool) -> Answer:
        """Send an AdmissionReview and return the answer."""
        body = msgspec.json.encode(review_of(request, uid))
        found = await self.post(webhook.body.get("clientConfig") or {}, body, webhook.timeout_seconds)
        if isinstance(found, str):
            return Answer(error=f"failed to call webhook: {found}")
        return parse_response(found, uid, mutating=mutating)

    async def post(self, config: Mapping[str, Any], body: bytes, seconds: int) -> bytes | str:
        """Send a review to the webhook of a ``clientConfig``; returns the body of the response, or what went wrong."""
        url, shown, server_name = self._target(config)
        prefix = f'Post "{shown}?timeout={seconds}s": '
        if not url:
            return (
                f'Post "{shown}": service "{(config.get("service") or {}).get("name")}" has no address here'
            )
        try:
            context = _context(config.get("caBundle"))
        except (binascii.Error, ssl.SSLError, ValueError) as error:
            return f"unable to load root certificates: {error}"
        try:
            async with asyncio.timeout(seconds):
                status, content = await _post(f"{url}?timeout={seconds}s", body, context, server_name)
        except TimeoutError:
            return f"{prefix}context deadline exceeded"
        except OSError as error:
            return prefix + _explained(error)
        if status != 200:
            text = content[:512].decode(errors="replace").strip()
            return (
                f'an error on the server ("{text}") has prevented the request from succeeding'
                if status >= 500
                else f"the server responded with {status}: {text}"
            )
        return content

    def _target(self, config: Mapping[str, Any]) -> tuple[str, str, str | None]:
        """The URL to call, "" without an address; the URL in messages; and the name in the certificate."""
        if config.get("url"):
            return config["url"], config["url"], None
        service = config.get("service") or {}
        name, namespace = str(service.get("name")), str(service.get("namespace"))
        path = service.get("path") or ""
        host = f"{name}.{namespace}.svc"
        shown = f"https://{host}:{service.get('port') or 443}{path}"
        address = self.services.get((namespace, name))
        return f"{address}{path}" if address is not None else "", shown, host


def _context(bundle: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)


async def _post(url: str, body: bytes, context: ssl.SSLContext, server_name: str | None) -> tuple[int, bytes]:
    import aiohttp

    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.post(
            url,
            data=body,
            headers=_JSON,
            ssl=context,
            server_hostname=server_name,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as response,
    ):
        content = b""
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > MAX_BYTES:
                raise OSError(f"the response is larger than {MAX_BYTES} bytes")
        return response.status, content


def _explained(error: OSError) -> str:
    """The error in the words of the real server, if it has one for it."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    host = f"{getattr(error, 'host', '')}:{getattr(error, 'port', '')}"
    if isinstance(cause, ConnectionRefusedError):
        return f"dial tcp {host}: connect: connection refused"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    return str(error)
