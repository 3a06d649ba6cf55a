"""Which model caches a template cache uses, which are missing, and which should be downloaded in another way.

Contract:
    * Sources with the same URI share one model cache, within a template cache and within the namespace: the one in use,
      else the one of the URI's own name, else any other of that URI that is there.
    * While nobody knows the template's sources (it is missing, or not discovered), what was in use stays so.
    * Of several template caches with one source the largest size counts, and the older one's word where they say
      different things about the download.
    * What is Available, or somebody's own, is never touched.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.template_cache import (
    DownloadWish,
    download_changes,
    in_units,
    model_cache_manifest,
    model_cache_name,
    spec_changes,
    template_cache_spec,
    wants_caching,
)
from aimctl.domain.labels import propagated
from aimctl.domain.resolution import Missing
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.api.v1alpha1 import AIMClusterServiceTemplate, AIMServiceTemplate
    from aimctl.domain.caching.template_cache_observation import ObservedModelCache, TemplateCacheObservation

__all__ = ["Entry", "ModelCachePatch", "creations", "entries_of", "own_changes", "patches", "sources_of"]


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One source of the template, and the model cache that is to hold it.

    Attributes:
        found: that model cache, if it is there.
        trouble: why there will be none.
    """

    name: str
    source: str
    size_bytes: int
    model_cache: str
    found: ObservedModelCache | None
    trouble: str = ""

    @property
    def state(self) -> CacheState:
        """As the status lists it."""
        if self.trouble:
            return CacheState.FAILED
        return CacheState.PENDING if self.found is None or self.found.deleting else self.found.state

    def to_json(self) -> dict[str, Any]:
        """As ``status.models`` lists it."""
        out = {
            "name": self.name,
            "source": self.source,
            "modelCache": self.model_cache,
            "status": str(self.state),
        }
        claim = self.found.view.status.persistent_volume_claim if self.found is not None else None
        return out | ({"persistentVolumeClaim": claim} if claim else {})


@final
@dataclass(frozen=True, slots=True)
class ModelCachePatch:
    """A model cache that is not filled yet, and how it should be downloaded instead.

    Attributes:
        spec: the fields to set; null takes one away.
    """

    name: str
    uid: str
    resource_version: str
    spec: dict[str, Any]


def sources_of(view: AIMServiceTemplate | AIMClusterServiceTemplate) -> dict[str, int]:
    """A template's sources as its status has them: URI to expected bytes, the largest of several."""
    sizes: dict[str, int] = {}
    for item in view.status.model_sources:
        sizes[item.source] = max(item.size_bytes, sizes.get(item.source, 0))
    return sizes


def entries_of(seen: TemplateCacheObservation) -> list[Entry]:
    """One for each source, in the template's order."""
    sources = seen.template.view.status.model_sources if seen.template is not None else ()
    if not sources:
        by_name = {item.name: item for item in seen.model_caches}
        return [
            Entry(item.name, item.source, 0, item.model_cache, by_name.get(item.model_cache))
            for item in seen.view.status.models
        ]
    listed = {item.source: item.model_cache for item in seen.view.status.models}
    sizes = sources_of(seen.template.view) if seen.template is not None else {}
    return [_entry(seen, item.name, item.source, sizes[item.source], listed) for item in sources]


def _entry(
    seen: TemplateCacheObservation, name: str, source: str, size_bytes: int, listed: dict[str, str]
) -> Entry:
    own = model_cache_name(source)
    able = [item for item in seen.model_caches if item.source == source and not item.deleting]
    if able:
        chosen = min(
            able,
            key=lambda item: (
                item.name != listed.get(source),
                item.name != own,
                item.state is not CacheState.AVAILABLE,
                item.created,
                item.name,
            ),
        )
        return Entry(name, source, size_bytes, chosen.name, chosen)
    holder = next((item for item in seen.model_caches if item.name == own), None)
    trouble = seen.refused.get(own, "")
    if holder is not None and not holder.deleting:
        trouble = (
            f"AIMModelCache {own!r} is there already and downloads {holder.source}: delete it,"
            f" or make another AIMModelCache for {source}"
        )
    return Entry(
        name, source, size_bytes, own, holder if holder is not None and holder.deleting else None, trouble
    )


def creations(seen: TemplateCacheObservation, entries: Iterable[Entry]) -> Iterable[dict[str, Any]]:
    """The model caches that are missing, each once."""
    template, config = seen.template, seen.runtime_config
    if template is None or template.meta.deleting or isinstance(config, Missing):
        return
    held = {item.name for item in seen.model_caches}
    for entry in {item.model_cache: item for item in entries}.values():
        if not template.view.status.model_sources or entry.found is not None or entry.model_cache in held:
            continue
        yield model_cache_manifest(
            seen.cache.namespace,
            entry.source,
            _size(seen, entry),
            _wish(seen, entry),
            labels=propagated(seen.cache.labels, config.spec),
        )


def patches(seen: TemplateCacheObservation, entries: Iterable[Entry]) -> Iterable[ModelCachePatch]:
    """The managed model caches that are not filled yet and should be downloaded in another way."""
    if seen.template is None or isinstance(seen.runtime_config, Missing):
        return
    for found in {item.model_cache: item.found for item in entries}.values():
        if found is None or found.settled or found.deleting:
            continue
        entry = next(item for item in entries if item.model_cache == found.name)
        changes = _changes(found, _wish(seen, entry), _size(seen, entry))
        if changes:
            yield ModelCachePatch(found.name, found.uid, found.resource_version, changes)


def own_changes(seen: TemplateCacheObservation) -> dict[str, Any]:
    """The fields of its own spec that are not as the services want them that it was made for.

    A template that caches by itself has another follow its edits: :mod:`aimctl.domain.caching.warming`.
    """
    template = seen.template
    if template is None or not seen.owned or not seen.wishes or wants_caching(template.view):
        return {}
    return spec_changes(template_cache_spec(template, seen.wishes), seen.view.spec)


def _wish(seen: TemplateCacheObservation, entry: Entry) -> DownloadWish:
    """What all the template caches that use a model cache say together."""
    users = [
        (item.created, item.name, item.spec) for item in seen.users if entry.model_cache in item.model_caches
    ]
    users.append((seen.cache.created, seen.cache.name, seen.view.spec))
    return DownloadWish.of([spec for _, _, spec in sorted(users, key=lambda item: item[:2])])


def _size(seen: TemplateCacheObservation, entry: Entry) -> int:
    """The largest size of a source that anybody in the namespace expects."""
    return max(entry.size_bytes, *(user.sizes.get(entry.source, 0) for user in seen.users), 0)


def _changes(found: ObservedModelCache, wish: DownloadWish, size_bytes: int) -> dict[str, Any]:
    """The fields of a model cache's spec that are not as wished; a size that is larger is nobody's harm."""
    spec = found.view.spec
    changes = download_changes(wish.to_json(), spec)
    if spec.runtime_config_name != wish.runtime_config:
        changes["runtimeConfigName"] = wish.runtime_config
    if wish.storage_class and spec.storage_class_name != wish.storage_class:
        changes["storageClassName"] = wish.storage_class
    with contextlib.suppress(
        ValueError
    ):  # a size that is none is somebody's own edit, and its own status says so
        if size_in_bytes(spec.size) < size_bytes:
            changes["size"] = in_units(size_bytes)
    return changes
