"""The sources of a controller whose kinds are given by name: what it reconciles, owns and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aimctl.kubetypes import Resource
from aimctl.runtime.cache import Cache, Informer
from aimctl.runtime.controller.handlers import EnqueueObject, EnqueueOwner
from aimctl.runtime.controller.sources.synced import Synced
from aimctl.runtime.controller.sources.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.runtime.controller.predicates import Predicate
    from aimctl.runtime.controller.sources.watch import Source

__all__ = ["sources_of_kinds"]

T = TypeVar("T")


def sources_of_kinds(
    cache: Cache,
    for_: Resource[Any] | Informer[Any] | None,
    *,
    owns: Sequence[Resource[Any] | Informer[Any]] = (),
    predicates: Sequence[Predicate] = (),
    reads: Sequence[Resource[Any] | Informer[Any] | Cache] = (),
) -> tuple[list[Source], Informer[Any] | None]:
    """Return the sources, and the informer of the kind that is reconciled (None without ``for_``).

    A Resource that is not declared in the cache is declared with the defaults.

    Args:
        cache: has the declarations.
        for_: the kind that is reconciled.
        owns: kinds of children.
        predicates: for ``for_``.
        reads: kinds that are waited for.

    Raises:
        TypeError: a kind is neither a Resource nor an informer.
        ValueError: ``owns`` or ``predicates`` without ``for_``.
    """
    if for_ is None and (owns or predicates):
        raise ValueError("owns and predicates need for_, the kind that they refer to")
    sources: list[Source] = []
    primary = None
    if for_ is not None:
        primary = _informer(cache, for_)
        sources.append(Watch(primary, EnqueueObject(), predicates))
        sources += (Watch(_informer(cache, child), EnqueueOwner(primary.resource)) for child in owns)
    if reads:
        sources.append(Synced(*(one if isinstance(one, Cache) else _informer(cache, one) for one in reads)))
    return sources, primary


def _informer(cache: Cache, kind: Resource[T] | Informer[T]) -> Informer[T]:
    if isinstance(kind, Informer):
        return kind
    if not isinstance(kind, Resource):
        raise TypeError(f"{kind!r} is not a kind: use a Resource, such as CONFIG_MAPS, or an informer")
    return cache.declared(kind) or cache.declare(kind)
