"""Authentication at registries: pull secrets, and ``WWW-Authenticate`` challenges. The input is not trusted.

Contract:
    * :func:`read_pull_secret` returns the entries of a Secret or raises :class:`PullSecretError`, whose message never
      contains data of the Secret. :func:`parse_challenges` never raises.
    * :func:`credentials_for` selects credentials as the kubelet does: a key matches by host (with ``*`` in its labels),
      port and path prefix, and longer keys take precedence.
    * ``repr`` of credentials does not contain them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.images.reference import DEFAULT_REGISTRY
from aimctl.domain.labels import fits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.domain.images.reference import ImageReference

__all__ = [
    "Challenge",
    "Credentials",
    "PullEntry",
    "PullSecretError",
    "credentials_for",
    "host_matches",
    "parse_challenges",
    "read_pull_secret",
]

DOCKER_CONFIG_JSON, DOCKER_CONFIG = ".dockerconfigjson", ".dockercfg"
MAX_CANDIDATES = 4
"""Credentials that are tried for one image."""

MAX_CHALLENGE_CHARACTERS = 8192
"""Characters of all ``WWW-Authenticate`` headers of a response together; the rest is ignored."""

MAX_CHALLENGES = 16
"""Challenges of a response; others are ignored."""

# The quantifiers are possessive: without backtracking, each attempt takes time linear in what it reads. Blanks are
# those of HTTP (RFC 9110, section 5.6.3), not the blanks of Unicode.
_CHALLENGE = re.compile(r"[ \t]*+(?:,[ \t]*+)?+([A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*+)(?:[ \t]++|$)")
_PARAMETER = re.compile(
    r"[ \t]*+(?:,[ \t]*+)?+([A-Za-z0-9_-]++)[ \t]*+=[ \t]*+(?:\"((?:[^\"\\]|\\.)*+)\"|([^ \t,\"]++))[ \t]*+"
)
_HUB_KEYS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class PullSecretError(ValueError):
    """The Secret is not a pull secret. The message says what is missing, and contains no data."""


@final
@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Credentials: a username and password, a refresh token (``identity_token``), or a bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        """A text without the credentials, for logs and tracebacks."""
        return "Credentials(...)"

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header for basic authentication; "" without a username and password."""
        if not self.username and not self.password:
            return ""
        pair = f"{self.username}:{self.password}".encode(errors="replace")
        return "Basic " + base64.b64encode(pair).decode()


@final
@dataclass(frozen=True, slots=True)
class PullEntry:
    """One entry of a pull secret: the host and path prefix to which it applies, and the credentials."""

    host: str
    path: str
    credentials: Credentials = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a registry. The scheme and the names of parameters are lower-case."""

    scheme: str
    parameters: Mapping[str, str]


def read_pull_secret(data: Mapping[str, bytes]) -> tuple[PullEntry, ...]:
    """The entries of a Secret.

    Args:
        data: ``data`` of the Secret, decoded from base64.

    Raises:
        PullSecretError: it is not a pull secret.
    """
    if DOCKER_CONFIG_JSON in data:
        key = DOCKER_CONFIG_JSON
        auths = _document(data[key], key).get("auths")
        if not isinstance(auths, dict):
            raise PullSecretError(f"its key {key!r} has no object 'auths'")
    elif DOCKER_CONFIG in data:
        key = DOCKER_CONFIG
        auths = _document(data[key], key)
    else:
        raise PullSecretError(
            f"it has neither the key {DOCKER_CONFIG_JSON!r} nor {DOCKER_CONFIG!r}; create it with 'kubectl create"
            " secret docker-registry'"
        )
    return tuple(
        PullEntry(*_place(where), _credentials(entry, key))
        for where, entry in auths.items()
        if isinstance(entry, dict)
    )


def credentials_for(image: ImageReference, entries: Iterable[PullEntry]) -> tuple[Credentials, ...]:
    """The credentials to try for an image, without duplicates, the most specific first."""
    fitting = [entry for entry in entries if _fits(entry, image)]
    fitting.sort(key=lambda entry: (-len(entry.path), "*" in entry.host, -len(entry.host)))
    return tuple(dict.fromkeys(entry.credentials for entry in fitting))[:MAX_CANDIDATES]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges in ``WWW-Authenticate`` headers, in order. Invalid ones are ignored.

    The time is linear in the size of the headers, of which at most :data:`MAX_CHALLENGE_CHARACTERS` are read.
    """
    found: list[Challenge] = []
    remaining = MAX_CHALLENGE_CHARACTERS
    for text in headers:
        if remaining <= 0 or len(found) >= MAX_CHALLENGES:
            break
        found += _challenges(text[:remaining])
        # A header costs more than its characters, so empty ones count as well.
        remaining -= len(text) + 1
    return tuple(found[:MAX_CHALLENGES])


def _challenges(text: str) -> Iterable[Challenge]:
    position = 0
    while head := _CHALLENGE.match(text, position):
        position = head.end()
        parameters: dict[str, str] = {}
        while found := _PARAMETER.match(text, position):
            position = found.end()
            quoted = found[2]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else found[3]
            parameters.setdefault(found[1].lower(), value)
        yield Challenge(head[1].lower(), parameters)


def _document(text: bytes, key: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # Without the cause, whose text may contain data of the Secret.
        raise PullSecretError(f"its key {key!r} is not JSON") from None
    if not isinstance(value, dict):
        raise PullSecretError(f"its key {key!r} is not a JSON object")
    return value


def _credentials(entry: Mapping[str, Any], key: str) -> Credentials:
    def text(name: str) -> str:
        value = entry.get(name, "")
        if not isinstance(value, str):
            raise PullSecretError(f"its key {key!r} has an entry whose {name!r} is not a string")
        return value

    username, password = text("username"), text("password")
    if text("auth"):
        # As the kubelet does: it overrides the other two, may contain line breaks, and needs no padding.
        packed = text("auth").replace("\r", "").replace("\n", "")
        try:
            decoded = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
        except (ValueError, binascii.Error):
            raise PullSecretError(f"its key {key!r} has an entry whose 'auth' is not base64") from None
        username, colon, password = decoded.rstrip("\0").partition(":")
        if not colon:
            raise PullSecretError(
                f"its key {key!r} has an entry whose 'auth' does not have the form username:password"
            )
    return Credentials(username, password, text("identitytoken"), text("registrytoken"))


def _place(key: str) -> tuple[str, str]:
    """Host and path prefix of a key such as ``https://index.docker.io/v1/`` or ``ghcr.io/silogen``."""
    rest = key.partition("://")[2] or key
    host, _, path = rest.partition("/")
    host = host.lower()
    path = path.strip("/")
    if path in ("v1", "v2"):
        path = ""
    return (DEFAULT_REGISTRY if host in _HUB_KEYS else host), path


def _fits(entry: PullEntry, image: ImageReference) -> bool:
    if entry.path and not (image.repository + "/").startswith(entry.path + "/"):
        return False
    return entry.host == image.host or ("*" in entry.host and host_matches(entry.host, image.host))


def host_matches(pattern: str, host: str) -> bool:
    """Whether a pattern matches: ``*`` matches any characters within one label; ports must be equal."""
    name, _, port = pattern.partition(":")
    host_name, _, host_port = host.partition(":")
    labels, host_labels = name.split("."), host_name.split(".")
    if port != host_port or len(labels) != len(host_labels):
        return False
    return all(fits(other, one) for one, other in zip(labels, host_labels, strict=True))
