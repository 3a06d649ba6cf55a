"""The rules of the data of Secrets and ConfigMaps.

Source: Kubernetes' ``core/validation`` and ``apimachinery/util/validation``.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, immutable_errors, invalid, required
from aimctl.devcluster.apiserver.objects.decoding import json_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["check_config_map", "check_secret", "file_key"]

_KEYS_OF_SECRETS: dict[str, tuple[str, ...]] = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_LOGIN = ("username", "password")
_ACCOUNT = "kubernetes.io/service-account.name"
_REDACTED = "<secret contents redacted>"
_MAX_KEY = 253
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _check_frozen(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a Secret or ConfigMap with ``immutable: true``."""
    if old is None or old.get("immutable") is not True:
        return []
    text = "field is immutable when `immutable` is set"
    errors = [] if new.get("immutable") is True else [forbidden("immutable", text)]
    return errors + [
        forbidden(name, text)
        for name in ("data", "binaryData")
        if (new.get(name) or {}) != (old.get(name) or {})
    ]


def _check_keys(new: Mapping[str, Any]) -> list[FieldError]:
    """The errors of the keys of a Secret or ConfigMap, which are names of files (``IsConfigMapKey``)."""
    errors: list[FieldError] = []
    for name in ("data", "binaryData"):
        for key in new.get(name) or ():
            path = f"{name}[{key}]"
            errors += _key_errors(key, path)
            if name == "data" and key in (new.get("binaryData") or ()):
                errors.append(invalid(path, key, "duplicate of key present in binaryData"))
    return errors


def _key_errors(key: str, path: str) -> Iterator[FieldError]:
    if len(key) > _MAX_KEY:
        yield invalid(path, key, f"must be no more than {_MAX_KEY} characters")
    if not _KEY.fullmatch(key):
        yield invalid(path, key, _KEY_TEXT)
    if key in (".", ".."):
        yield invalid(path, key, f"must not be '{key}'")
    elif key.startswith(".."):
        yield invalid(path, key, "must not start with '..'")


def file_key(value: Any, path: str) -> Iterator[FieldError]:
    """The key of a Secret or ConfigMap that another object refers to."""
    if not value:
        yield required(path)
    else:
        yield from _key_errors(value, path)


def _check_type(secret: Mapping[str, Any]) -> list[FieldError]:
    """The keys that a Secret of a known type must have."""
    kind, data = secret.get("type") or "", secret.get("data") or {}
    if kind == "kubernetes.io/service-account-token":
        annotations = secret["metadata"].get("annotations") or {}
        return [] if annotations.get(_ACCOUNT) else [required(f"metadata.annotations[{_ACCOUNT}]")]
    if kind == "kubernetes.io/basic-auth":
        return [] if any(key in data for key in _LOGIN) else [required(f"data[{key}]") for key in _LOGIN]
    keys = _KEYS_OF_SECRETS.get(kind, ())
    errors = [required(f"data[{key}]") for key in keys if key not in data]
    if not errors and kind.startswith("kubernetes.io/dockerc"):
        content = base64.b64decode(data[keys[0]])
        try:
            json.loads(content)
        except ValueError as error:
            return [invalid(f"data[{keys[0]}]", _REDACTED, json_error(content, error))]
    return errors


def check_config_map(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a ConfigMap; ``old`` is None on a creation."""
    return _check_keys(new) + _check_frozen(new, old)


def check_secret(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a Secret; ``old`` is None on a creation."""
    errors = _check_keys(new) + _check_type(new) + _check_frozen(new, old)
    return errors if old is None else errors + immutable_errors(new, old, "type")
