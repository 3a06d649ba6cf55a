"""The rules of the data of Secrets and ConfigMaps.

Source: Kubernetes' ``core/validation`` and ``apimachinery/util/validation``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, immutable_errors, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["check_config_map", "check_secret"]

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
    errors = []
    for name in ("data", "binaryData"):
        for key in new.get(name) or ():
            path = f"{name}[{key}]"
            if len(key) > _MAX_KEY:
                errors.append(invalid(path, key, f"must be no more than {_MAX_KEY} characters"))
            if not _KEY.fullmatch(key):
                errors.append(invalid(path, key, _KEY_TEXT))
            if key in (".", ".."):
                errors.append(invalid(path, key, f"must not be '{key}'"))
            elif key.startswith(".."):
                errors.append(invalid(path, key, "must not start with '..'"))
    return errors


def check_config_map(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a ConfigMap; ``old`` is None on a creation."""
    return _check_keys(new) + _check_frozen(new, old)


def check_secret(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a Secret; ``old`` is None on a creation."""
    errors = _check_keys(new) + _check_frozen(new, old)
    return errors if old is None else errors + immutable_errors(new, old, "type")
