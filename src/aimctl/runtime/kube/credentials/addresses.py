"""The addresses of servers and proxies, separated from the credentials they may contain.

Contract:
    * An :class:`Address` is usable: the port is in range, and DNS can look up the host. No later step raises a plain
      ValueError because of it.
    * ``Address.url`` contains no credentials, so it may appear in messages, logs and metrics.
    * No message of :func:`parse_address` contains a password, not even that of an invalid address.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import final

from yarl import URL

from aimctl.runtime.kube.errors import ConfigurationError

__all__ = ["Address", "parse_address", "split_zone", "without_credentials"]

_LABEL_BYTES = 63
"""Longest label of a host name (RFC 1035, section 2.3.4)."""

_HOST_BYTES = 253
"""Longest host name in text form (RFC 1035, section 3.1)."""


@final
@dataclass(frozen=True, slots=True)
class Address:
    """A URL of the scheme http or https.

    Attributes:
        url: the URL without user and password.
        authorization: value of an ``Authorization`` header with the user and password of the URL, or None.
    """

    url: URL
    authorization: str | None = field(default=None, repr=False)


def parse_address(text: str, *, name: str, example: str) -> Address:
    """Parse the URL of a server or proxy.

    Args:
        text: the URL, possibly with user and password.
        name: the setting, for messages.
        example: a valid value, for messages.

    Raises:
        ConfigurationError: it is not a URL of the scheme http or https, or its host or port cannot exist.
    """
    url, login = URL(), b":"
    try:
        url = URL(text)
        login = f"{url.user or ''}:{url.password or ''}".encode()
        problem = _problem(url)
    except ValueError as error:
        # The text of the error may quote the URL.
        problem = "its port is above 65535" if "out of range" in str(error) else "it is not a valid URL"
    if problem:
        raise ConfigurationError(
            f"{name} {without_credentials(text)!r} cannot be used: {problem}; write it like {example}"
        )
    authorization = None if login == b":" else "Basic " + base64.b64encode(login).decode("ascii")
    return Address(url.with_user(None), authorization)


def split_zone(url: URL) -> tuple[str, str]:
    """The address to connect to, and the host without its zone: "" if it is not an IPv6 address with a zone.

    The zone of a link-local address, ``eth0`` in ``https://[fe80::1%25eth0]:6443``, is encoded in a URL (RFC 6874). It
    names an interface of this machine, so it is neither sent to the server nor compared with a certificate.
    """
    host, separator, zone = (url.host or "").partition("%")
    if ":" not in host or not separator:
        return url.raw_authority, ""
    port = "" if url.explicit_port is None else f":{url.explicit_port}"
    return f"[{host}%{zone}]{port}", host


def without_credentials(text: str) -> str:
    """A URL for messages, without user and password; it need not be valid."""
    if "@" not in text:
        return text
    scheme, separator, rest = text.rpartition("@")[0].partition("://")
    return (f"{scheme}://" if separator and rest else "") + text.rpartition("@")[2]


def _problem(url: URL) -> str:
    """Why the URL cannot be used; empty if it can."""
    if url.scheme not in ("http", "https"):
        return "only http:// and https:// are supported"
    host = url.raw_host
    if not host:
        return "it has no host"
    if any(character.isspace() for character in host):
        return "its host contains white space"
    if ":" in host:
        return ""
    labels = host.removesuffix(".").split(".")
    if len(host) > _HOST_BYTES or any(not 0 < len(label) <= _LABEL_BYTES for label in labels):
        return f"a part of its host is empty or longer than {_LABEL_BYTES} characters"
    return ""
