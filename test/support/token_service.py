"""A token service as docker registries expect one: signs who may pull what, to whoever knows the password."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from support.pki import CertificateAuthority

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TokenService"]

ISSUER, SERVICE = "aimctl test issuer", "aimctl test registry"


class TokenService:
    """Use as an async context manager; ``auth`` is what the registry is to be told.

    Args:
        folder: for certificates.
        user: whoever may log in, and the password.
        private: repositories that only somebody logged in may pull.
    """

    def __init__(self, folder: Path, *, user: tuple[str, str], private: frozenset[str]) -> None:
        authority = CertificateAuthority(folder)
        files = authority.issue("tokens")
        self._roots = authority.certificate
        key = serialization.load_pem_private_key(files.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        self._chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        self._user = user
        self._private = private
        self.refresh_token = "a token to refresh with"
        self.asked: list[tuple[str, str, str]] = []
        """Method, scope, and who asked; "" for nobody."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/token", self._get)
        app.router.add_post("/token", self._post)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.realm = f"http://127.0.0.1:{port}/token"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def auth(self) -> dict[str, Any]:
        """The part ``auth`` of the registry's configuration."""
        return {
            "token": {
                "realm": self.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(self._roots),
            }
        }

    def token(self, scope: str, who: str, *, actions: tuple[str, ...] = ("pull",)) -> str:
        """A signed token for a scope."""
        kind, _, rest = scope.partition(":")
        name, _, _ = rest.rpartition(":")
        allowed = [] if name in self._private and not who else list(actions)
        now = int(time.time())
        head = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        claims = {
            "iss": ISSUER,
            "sub": who,
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": "1",
            "access": [{"type": kind, "name": name, "actions": allowed}],
        }
        text = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    async def _get(self, request: web.Request) -> web.Response:
        who = ""
        if "Authorization" in request.headers:
            given = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
            who = given.partition(":")[0]
            self.asked.append(("GET", request.query["scope"], who))
            if given != ":".join(self._user):
                return web.json_response({"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}, status=401)
        else:
            self.asked.append(("GET", request.query["scope"], who))
        assert request.query["service"] == SERVICE
        return web.json_response({"token": self.token(request.query["scope"], who)})

    async def _post(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(("POST", str(form["scope"]), "refresh"))
        assert form["grant_type"] == "refresh_token"
        if form["refresh_token"] != self.refresh_token:
            return web.json_response({"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}, status=401)
        return web.json_response({"access_token": self.token(str(form["scope"]), self._user[0])})


def _encoded(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()
