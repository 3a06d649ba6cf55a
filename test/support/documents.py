"""YAML documents, read with libyaml: the CRDs of the operator take a second otherwise."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_all_yaml", "load_yaml"]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str | bytes | IO[Any]) -> Any:
    """The only document of a text or file."""
    return yaml.load(text, Loader=_Loader)


def load_all_yaml(text: str | bytes | IO[Any]) -> Iterator[Any]:
    """The documents of a text or file."""
    return yaml.load_all(text, Loader=_Loader)
