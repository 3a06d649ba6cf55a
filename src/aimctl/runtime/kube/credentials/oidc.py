"""ID tokens for ``auth-provider: oidc`` in a kubeconfig, refreshed at their issuer.

A refresh token is a long-lived secret, so the issuer's certificate is always verified. Refreshed tokens are saved in
the kubeconfig, as kubectl does, because many issuers accept a refresh token only once.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, final
from urllib.parse import quote_plus

import aiohttp
import msgspec

from aimctl.kubetypes.errors import JSON_ERRORS
from aimctl.runtime.kube.credentials.addresses import Address, parse_address
from aimctl.runtime.kube.credentials.connection import file_stamp, fits_header
from aimctl.runtime.kube.credentials.kubeconfig_files import parse
from aimctl.runtime.kube.credentials.proxy import environment_proxy, proxy_login
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.runtime.clock import Clock

__all__ = ["StoredTokens", "fresh_id_token"]

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


@final
class StoredTokens:
    """The ``auth-provider.config`` of a user in a kubeconfig, shared with other programs through the file.

    Args:
        file: the kubeconfig that contains the user.
        user: name of the user.
        config: the configuration as it was read.
        clock: compared with the expiry of the token.
    """

    def __init__(self, file: Path, user: str, config: Mapping[str, str], *, clock: Clock) -> None:
        self._file = file
        self._user = user
        self._config: dict[str, str] = dict(config)
        self._clock = clock
        self._stamp = file_stamp(file)

    async def id_token(self) -> str:
        """A valid token. Reads the file again if it has changed, and saves new tokens in it.

        If the file is read-only, new tokens are kept in memory.

        Raises:
            ConfigurationError: there is no valid token, and the refresh failed.
        """
        if file_stamp(self._file) != self._stamp:
            found = self._find(self._read()) or {}
            texts = {name: value for name, value in found.items() if isinstance(value, str)}
            self._config = texts or self._config
            self._stamp = file_stamp(self._file)
        before = dict(self._config)
        token = await fresh_id_token(self._config, folder=self._file.parent.absolute(), clock=self._clock)
        if self._config != before:
            with suppress(OSError):
                self._save()
        return token

    def _read(self) -> Any:
        try:
            return parse(self._file.read_bytes())
        except (OSError, ValueError):
            return None

    def _find(self, document: Any) -> dict[str, Any] | None:
        """The configuration in a kubeconfig; None if it does not contain it."""
        try:
            config = next(
                user["user"]["auth-provider"]["config"]
                for user in document["users"]
                if user["name"] == self._user
            )
        except (LookupError, TypeError, StopIteration):
            return None
        return config if isinstance(config, dict) else None

    def _save(self) -> None:
        """Replace the file by one with the new tokens."""
        import yaml

        document = self._read()
        config = self._find(document)
        if config is None:
            return
        config.update(self._config)
        target = self._file.resolve()
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, target.stat().st_mode)
                yaml.safe_dump(document, file, sort_keys=False)
            Path(name).replace(target)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        self._stamp = file_stamp(self._file)


async def fresh_id_token(config: dict[str, str], *, folder: Path, clock: Clock) -> str:
    """A valid token, refreshed if it is about to expire.

    Args:
        config: the ``config`` of the auth provider. New tokens are written into it, so that the caller can save them.
        folder: base of relative file names in ``config``.
        clock: compared with the expiry of the token.

    Raises:
        ConfigurationError: there is no valid token, and the refresh failed.
    """
    token = config.get("id-token", "")
    left = _seconds_left(token, clock) if token else 0.0
    if left > _SKEW_SECONDS:
        return token
    try:
        await _refresh(config, folder)
    except (ConfigurationError, aiohttp.ClientError, OSError, KeyError, *JSON_ERRORS) as error:
        if left > 0:
            return token
        # Without the cause: an error of aiohttp has the headers of the request, with the secret of the client.
        raise ConfigurationError(
            f"oidc: the id-token has expired and cannot be refreshed ({_problem(error)}): log in again"
        ) from None
    return config["id-token"]


def _problem(error: Exception) -> str:
    """What went wrong, without a secret."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP {error.status} from {error.request_info.url}"
    if isinstance(error, KeyError):
        return f"the configuration has no {error}"
    if isinstance(error, JSON_ERRORS):
        return "the response of the issuer is not the expected JSON"
    return str(error) or type(error).__name__


async def _refresh(config: dict[str, str], folder: Path) -> None:
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
    if not fits_header(tokens.id_token):
        raise ConfigurationError("the issuer returned a token with control characters")
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


def _trust(config: dict[str, str], folder: Path) -> ssl.SSLContext:
    data, name = config.get("idp-certificate-authority-data"), config.get("idp-certificate-authority")
    try:
        return ssl.create_default_context(
            cafile=str(folder / name) if name and not data else None,
            cadata=base64.b64decode(data, validate=True).decode("ascii") if data else None,
        )
    except (OSError, ValueError) as error:
        field = "idp-certificate-authority-data" if data else "idp-certificate-authority"
        raise ConfigurationError(f"{field} cannot be used: {error}") from error


def _seconds_left(token: str, clock: Clock) -> float:
    """Remaining validity of a JWT: infinite without an expiry, 0 if the token cannot be decoded."""
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims
        )
    except (IndexError, ValueError, *JSON_ERRORS):
        return 0.0
    return float("inf") if claims.exp is None else claims.exp - clock.now().timestamp()
