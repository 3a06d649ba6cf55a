"""ID tokens for ``auth-provider: oidc`` in a kubeconfig, refreshed at their issuer.

kubernetes-asyncio (36.1) also refreshes them. However, it does not verify the issuer's certificate unless the
kubeconfig names a certificate authority, and then it fails. A refresh token is a long-lived secret, so this module
always verifies the certificate.
"""

from __future__ import annotations

import base64
import os
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import aiohttp
import msgspec

from aimctl.runtime.kube.credentials.addresses import Address, parse_address
from aimctl.runtime.kube.credentials.proxy import environment_proxy, proxy_login
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aimctl.runtime.clock import Clock

__all__ = ["fresh_id_token"]

_SKEW_SECONDS = 300.0
"""A token that expires sooner than this is refreshed."""

_TIMEOUT = aiohttp.ClientTimeout(total=30.0)


class _Claims(msgspec.Struct):
    exp: float | None = None


class _Issuer(msgspec.Struct):
    token_endpoint: str


class _Tokens(msgspec.Struct):
    id_token: str
    refresh_token: str | None = None


async def fresh_id_token(config: dict[str, Any], *, folder: Path, clock: Clock) -> str:
    """A valid token, refreshed if it is about to expire.

    Args:
        config: the ``config`` of the auth provider. New tokens are written into it, so that the caller can save them.
        folder: base of relative file names in ``config``.
        clock: compared with the expiry of the token.

    Raises:
        ConfigurationError: there is no valid token, and the refresh failed.
    """
    token = config.get("id-token") or ""
    left = _seconds_left(token, clock) if token else 0.0
    if left > _SKEW_SECONDS:
        return str(token)
    try:
        await _refresh(config, folder)
    except (ConfigurationError, aiohttp.ClientError, OSError, msgspec.DecodeError, KeyError) as error:
        if left > 0:
            return str(token)
        raise ConfigurationError(
            f"oidc: the id-token has expired and cannot be refreshed ({error!r}): log in again"
        ) from error
    return str(config["id-token"])


async def _refresh(config: dict[str, Any], folder: Path) -> None:
    """The refresh grant of RFC 6749, section 6, at the endpoint of the issuer's discovery document."""
    form = {"grant_type": "refresh_token", "refresh_token": config["refresh-token"]}
    secret = config.get("client-secret")
    headers: dict[str, str] = {}
    if secret:  # RFC 6749, section 2.3.1: both are form-encoded before they are joined
        pair = f"{quote_plus(config['client-id'])}:{quote_plus(secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form["client_id"] = config["client-id"]
    address = config["idp-issuer-url"].rstrip("/") + "/.well-known/openid-configuration"
    tls = _trust(config, folder)
    # trust_env would read ~/.netrc as well.
    async with aiohttp.ClientSession(timeout=_TIMEOUT, raise_for_status=True) as session:
        issuer = msgspec.json.decode(await _exchange(session, "GET", address, tls), type=_Issuer)
        answer = await _exchange(session, "POST", issuer.token_endpoint, tls, form=form, headers=headers)
        tokens = msgspec.json.decode(answer, type=_Tokens)
    config["id-token"] = tokens.id_token
    if tokens.refresh_token:
        config["refresh-token"] = tokens.refresh_token


async def _exchange(
    session: aiohttp.ClientSession,
    method: str,
    text: str,
    tls: ssl.SSLContext,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The body of a response, through the proxy of the environment. Credentials in ``text`` are sent, as in Go."""
    target = parse_address(text, name="idp-issuer-url or token_endpoint", example="https://issuer.example")
    proxy: Address | None = environment_proxy(target.url, os.environ)
    login = proxy_login(proxy)
    sent = {"Authorization": target.authorization} if target.authorization else {}
    sent |= {**(login if target.url.scheme == "http" else {}), **(headers or {})}
    async with session.request(
        method,
        target.url,
        data=form,
        headers=sent,
        ssl=tls,
        proxy=proxy.url if proxy is not None else None,
        proxy_headers=login,
    ) as answer:
        return await answer.read()


def _trust(config: dict[str, Any], folder: Path) -> ssl.SSLContext:
    data, name = config.get("idp-certificate-authority-data"), config.get("idp-certificate-authority")
    return ssl.create_default_context(
        cafile=str(folder / name) if name and not data else None,
        cadata=base64.b64decode(data).decode("ascii") if data else None,
    )


def _seconds_left(token: str, clock: Clock) -> float:
    """Remaining validity of a JWT: infinite without an expiry, 0 if the token cannot be decoded."""
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims
        )
    except (IndexError, ValueError, msgspec.DecodeError):
        return 0.0
    return float("inf") if claims.exp is None else claims.exp - clock.now().timestamp()
