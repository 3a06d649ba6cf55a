"""The schema of CustomResourceDefinitions, which remembers what it found out about a ``spec``.

Tests start many clusters with equal definitions, of which each is pruned, defaulted and validated several times. That
was half of the time in which a cluster starts.

Contract: the results are those of the class :class:`Schema`, as new objects that the caller may change.

Invariant: a result depends on the encoded ``spec`` only, so a remembered one is never out of date.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.schema.node import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aimctl.devcluster.apiserver.schema.errors import FieldError
    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = ["DefinitionSchema"]

_REMEMBERED = 64


@final
class DefinitionSchema(Schema):
    """See the description of the module."""

    __slots__ = ("_default", "_outer", "_prune", "_validate")

    def __init__(
        self,
        root: Node,
        source: Mapping[str, Any],
        *,
        complete: Callable[[dict[str, Any]], None] | None = None,
        empty: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, source, complete=complete, empty=empty)
        outside = replace(root, properties=MappingProxyType({**root.properties, "spec": OPEN}))
        self._outer = Schema.builtin(outside, source)
        self._prune = functools.lru_cache(_REMEMBERED)(self._pruned_spec)
        self._default = functools.lru_cache(_REMEMBERED)(self._filled_spec)
        self._validate = functools.lru_cache(_REMEMBERED)(self._spec_is_valid)

    def accepts(self, obj: dict[str, Any]) -> bool:  # noqa: ARG002 - no object is checked in this way
        """See :meth:`Schema.accepts`. What is remembered is faster for a large ``spec``."""
        return False

    def prune(self, obj: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """See :meth:`Schema.prune`; the paths in ``spec`` are the last ones."""
        if not isinstance(obj.get("spec"), dict):
            return super().prune(obj)
        spec, below = self._prune(_encoded(obj))
        kept, unknown = self._outer.prune({**obj, "spec": None})
        return {**kept, "spec": msgspec.json.decode(spec)}, [*unknown, *below]

    def default(self, obj: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Schema.default`."""
        if not isinstance(obj.get("spec"), dict):
            return super().default(obj)
        spec = self._default(_encoded(obj))
        return {**self._outer.default({**obj, "spec": {}}), "spec": msgspec.json.decode(spec)}

    def validate(
        self,
        obj: dict[str, Any],
        old: dict[str, Any] | None,
        *,
        blocked: bool = False,  # noqa: ARG002 - the kind has no rules
    ) -> list[FieldError]:
        """See :meth:`Schema.validate`. The kind has no rules, so the errors do not depend on the old object."""
        if not isinstance(obj.get("spec"), dict) or not self._validate(_encoded(obj)):
            return super().validate(obj, old)
        return self._outer.validate({**obj, "spec": {}}, old)

    def _pruned_spec(self, spec: bytes) -> tuple[bytes, tuple[str, ...]]:
        kept, unknown = super().prune({"spec": msgspec.json.decode(spec)})
        return _encoded(kept), tuple(unknown)

    def _filled_spec(self, spec: bytes) -> bytes:
        return _encoded(super().default({"spec": msgspec.json.decode(spec)}))

    def _spec_is_valid(self, spec: bytes) -> bool:
        return not super().validate({"spec": msgspec.json.decode(spec)}, None)


def _encoded(obj: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(obj["spec"])
