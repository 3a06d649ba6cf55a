"""The tokens of service accounts: JSON Web Tokens, signed by the cluster.

Contract: claims are those of Kubernetes. A token is valid until it expires, and while an account with the name and uid
in its claims exists. The key is made with the first token, so tokens do not outlive the process.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.wire.es256 import encoded, public_point, sign

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.runtime.clock import Clock

__all__ = ["ISSUER", "Account", "TokenIssuer"]

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""The issuer, and the audience of tokens for the API server."""
_KEYS_PATH = "/openid/v1/jwks"


@final
@dataclass(frozen=True, slots=True)
class Account:
    """The service account of a token.

    Attributes:
        namespace: its namespace.
        name: its name.
        uid: its uid.
        audiences: the programs that accept the token.
        token_id: the id of the token.
    """

    namespace: str
    name: str
    uid: str
    audiences: tuple[str, ...] = (ISSUER,)
    token_id: str = ""


@final
class TokenIssuer:
    """Creates and verifies tokens.

    Args:
        clock: for the times in tokens.
        rng: for the key and the ids of tokens.
    """

    def __init__(self, *, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._key = 0
        self._issued: dict[str, tuple[int, Account]] = {}
        """The end and the account of each token."""

    def issue(self, account: Account, ends: datetime, *, bound: Mapping[str, Any] | None = None) -> str:
        """A token for an account.

        Args:
            account: the account, with the audiences of the token.
            ends: when the token expires.
            bound: the reference to the object that the token is bound to, with kind, name and uid.
        """
        now = int(self._clock.now().timestamp())
        own: dict[str, Any] = {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.uid},
        }
        if bound and bound.get("kind"):
            own[str(bound["kind"]).lower()] = {"name": bound.get("name"), "uid": bound.get("uid")}
        claims: dict[str, Any] = {
            "aud": list(account.audiences),
            "exp": int(ends.timestamp()),
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            "kubernetes.io": own,
            "nbf": now,
            "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
        }
        head = {"alg": "ES256", "kid": self._key_id()}
        text = ".".join(encoded(msgspec.json.encode(part)) for part in (head, claims))
        token = f"{text}.{sign(self._secret(), text.encode())}"
        self._issued = {each: known for each, known in self._issued.items() if known[0] > now}
        self._issued[token] = (claims["exp"], replace(account, token_id=claims["jti"]))
        return token

    def account_of(self, token: str) -> Account | None:
        """The account of a token of this process that has not expired; None for any other text."""
        ends, account = self._issued.get(token, (0, None))
        return account if ends > self._clock.now().timestamp() else None

    def document(self, path: str) -> dict[str, Any] | None:
        """The document with which others verify tokens: OpenID configuration or keys; None for other paths."""
        if path == _KEYS_PATH:
            return self.key_set()
        if path != "/.well-known/openid-configuration":
            return None
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}{_KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        x, y = public_point(self._secret())
        names = {"use": "sig", "kty": "EC", "kid": self._key_id(), "crv": "P-256", "alg": "ES256"}
        return {"keys": [{**names, "x": x, "y": y}]}

    def _secret(self) -> int:
        while not self._key:
            self._key = self._rng.getrandbits(256)
        return self._key

    def _key_id(self) -> str:
        return encoded(hashlib.sha256("".join(public_point(self._secret())).encode()).digest())
