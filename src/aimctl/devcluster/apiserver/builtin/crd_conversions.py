"""The validation of ``spec.conversion`` of CustomResourceDefinitions.

Contract: :func:`conversion_errors` yields the errors of the real server for a conversion whose fields have the types of
their schema. The ``caBundle`` is not checked, as on the real server.

Source: Kubernetes' ``apiextensions/validation`` and ``apiserver/pkg/util/webhook``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.objects.names import label1035_errors, subdomain_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["conversion_errors"]

_PATH = "spec.conversion"
_CLIENT = f"{_PATH}.webhookClientConfig"
_VERSIONS = f"{_PATH}.conversionReviewVersions"
_STRATEGIES = ("None", "Webhook")
_REVIEW_VERSIONS = ("v1", "v1beta1")
_FORM = "; desired format: https://host[/path]"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LARGEST_PORT = 65535


def conversion_errors(conversion: Mapping[str, Any]) -> Iterator[FieldError]:
    """The errors of a conversion."""
    strategy = conversion.get("strategy") or ""
    if not strategy:
        yield required(f"{_PATH}.strategy")
    elif strategy not in _STRATEGIES:
        yield unsupported(f"{_PATH}.strategy", strategy, _STRATEGIES)
    webhook = conversion.get("webhook") or {}
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "Webhook":
        for place, value in ((_CLIENT, client), (_VERSIONS, versions)):
            if value not in (None, []):
                yield forbidden(place, "should not be set when strategy is not set to Webhook")
        return
    yield from _client_errors(client)
    yield from _version_errors(versions)


def _client_errors(client: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if client is None:
        yield required(_CLIENT, "required when strategy is set to Webhook")
        return
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(_CLIENT, "exactly one of url or service is required")
    elif url is not None:
        yield from _url_errors(url)
    elif service is not None:
        yield from _service_errors(service)


def _url_errors(url: str) -> Iterator[FieldError]:
    place = f"{_CLIENT}.url"
    fault = _unreadable(url)
    if fault:
        yield required(place, f'url must be a valid URL: parse "{url}": {fault}{_FORM}')
        return
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if parts.scheme != "https":
        yield invalid(place, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not host:
        yield invalid(place, host, f"host must be specified{_FORM}")
    if user:
        yield invalid(place, user, "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(place, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(place, parts.query, "query parameters are not permitted in the URL")


def _unreadable(url: str) -> str:
    """Why Go cannot read an address; "" if it can."""
    first, slashes, rest = url.partition("//")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" in first.split("/", 1)[0] and not _SCHEME.match(first):
        return "first path segment in URL cannot contain colon"
    if slashes and " " in host:
        return 'invalid character " " in host name'
    if slashes and host.rpartition("@")[2].startswith("[") and "]" not in host:
        return "missing ']' in host"
    try:
        urlsplit(url)
    except ValueError as error:
        return str(error)
    return ""


def _service_errors(service: Mapping[str, Any]) -> Iterator[FieldError]:
    place = f"{_CLIENT}.service"
    for key in ("name", "namespace"):
        if not service.get(key):
            yield required(f"{place}.{key}")
    port = service.get("port")
    if port is not None and not 1 <= port <= _LARGEST_PORT:
        text = f"port is not valid: must be between 1 and {_LARGEST_PORT}, inclusive"
        yield invalid(f"{place}.port", port, text)
    path = service.get("path")
    if not path or path == "/":
        return
    if not path.startswith("/"):
        yield invalid(f"{place}.path", path, "must start with a '/'")
    yield from _segment_errors(f"{place}.path", path)


def _segment_errors(place: str, path: str) -> Iterator[FieldError]:
    """The errors of the parts of a path, of which the last may be empty."""
    parts = path[1:].removesuffix("/").split("/")
    for index, part in enumerate(parts):
        if not part:
            yield invalid(place, path, f"segment[{index}] may not be empty")
            return
        for text in subdomain_errors(part):
            yield invalid(place, path, f"segment[{index}]: {text}")


def _version_errors(versions: Sequence[str]) -> Iterator[FieldError]:
    if not versions:
        yield required(_VERSIONS)
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        place = f"{_VERSIONS}[{index}]"
        if version in seen:
            yield invalid(place, version, "duplicate version")
            continue
        seen.add(version)
        texts = label1035_errors(version)
        if texts:
            yield invalid(place, version, ",".join(texts))
    if not seen & set(_REVIEW_VERSIONS):
        yield invalid(_VERSIONS, versions, f"must include at least one of {', '.join(_REVIEW_VERSIONS)}")
