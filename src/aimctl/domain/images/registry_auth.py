"""Who we are to a registry: pull secrets, and the challenges of a registry that wants to know.

Contract:
    * :func:`read_pull_secret` takes what a Secret holds and gives its entries or raises :class:`PullSecretError`,
      whose text never contains anything that the Secret holds. :func:`parse_challenges` never raises.
    * :func:`credentials_for` chooses as the kubelet does: keys match by host (with ``*`` in its labels), port and
      beginning of the path; longer keys first. What the kubelet would try, in its order.
    * Nothing here shows a password: ``repr`` of credentials is empty.
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
    "parse_challenges",
    "read_pull_secret",
]

DOCKER_CONFIG_JSON, DOCKER_CONFIG = ".dockerconfigjson", ".dockercfg"
MAX_CANDIDATES = 4
"""Credentials that are tried for one image; each wrong one costs the registry a refusal."""

_MAX_CHALLENGE = 8192
_CHALLENGE = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*)(?:\s+|$)")
_PARAMETER = re.compile(r"\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))\s*")
_HUB_KEYS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class PullSecretError(ValueError):
    """A Secret that is no pull secret; the text says what is missing, not what is there."""


@final
@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """One way to log in: a name and password, a refresh token, or a finished bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        """Nothing: this ends up in logs and tracebacks."""
        return "Credentials(...)"

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header, or "" without a name and password."""
        if not self.username and not self.password:
            return ""
        pair = f"{self.username}:{self.password}".encode(errors="replace")
        return "Basic " + base64.b64encode(pair).decode()


@final
@dataclass(frozen=True, slots=True)
class PullEntry:
    """One entry of a pull secret: where it is meant for, and who we are there."""

    host: str
    path: str
    credentials: Credentials = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a registry offers; scheme and names are lower-case."""

    scheme: str
    parameters: Mapping[str, str]


def read_pull_secret(data: Mapping[str, bytes]) -> tuple[PullEntry, ...]:
    """The entries of a Secret, from its ``data``, decoded.

    Raises:
        PullSecretError: it is no pull secret.
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
            f"it has neither the key {DOCKER_CONFIG_JSON!r} nor {DOCKER_CONFIG!r}; make it with 'kubectl create"
            " secret docker-registry'"
        )
    return tuple(
        PullEntry(*_place(where), _credentials(entry, key))
        for where, entry in auths.items()
        if isinstance(entry, dict)
    )


def credentials_for(image: ImageReference, entries: Iterable[PullEntry]) -> tuple[Credentials, ...]:
    """What to try for an image, most specific first, each once."""
    fitting = [entry for entry in entries if _fits(entry, image)]
    fitting.sort(key=lambda entry: (-len(entry.path), "*" in entry.host, -len(entry.host)))
    return tuple(dict.fromkeys(entry.credentials for entry in fitting))[:MAX_CANDIDATES]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge in ``WWW-Authenticate`` headers that can be made out, in order."""
    return tuple(found for text in headers for found in _challenges(text[:_MAX_CHALLENGE]))


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
        # Without the cause: its text may show a piece of the Secret.
        raise PullSecretError(f"its key {key!r} holds no JSON") from None
    if not isinstance(value, dict):
        raise PullSecretError(f"its key {key!r} holds no JSON object")
    return value


def _credentials(entry: Mapping[str, Any], key: str) -> Credentials:
    def text(name: str) -> str:
        value = entry.get(name, "")
        if not isinstance(value, str):
            raise PullSecretError(f"its key {key!r} has an entry whose {name!r} is no text")
        return value

    username, password = text("username"), text("password")
    if text("auth"):
        # As the kubelet takes it: before the other two, over several lines, and without the '=' at its end.
        packed = text("auth").replace("\r", "").replace("\n", "")
        try:
            decoded = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
        except (ValueError, binascii.Error):
            raise PullSecretError(f"its key {key!r} has an entry whose 'auth' is no base64") from None
        username, colon, password = decoded.rstrip("\0").partition(":")
        if not colon:
            raise PullSecretError(
                f"its key {key!r} has an entry whose 'auth' is not of the form name:password"
            )
    return Credentials(username, password, text("identitytoken"), text("registrytoken"))


def _place(key: str) -> tuple[str, str]:
    """Host and path of a key such as ``https://index.docker.io/v1/`` or ``ghcr.io/silogen``."""
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
    return entry.host == image.host or ("*" in entry.host and _host_matches(entry.host, image.host))


def _host_matches(pattern: str, host: str) -> bool:
    """``*`` stands for any characters within one label; the ports must be equal."""
    name, _, port = pattern.partition(":")
    host_name, _, host_port = host.partition(":")
    labels, host_labels = name.split("."), host_name.split(".")
    if port != host_port or len(labels) != len(host_labels):
        return False
    return all(fits(other, one) for one, other in zip(labels, host_labels, strict=True))
