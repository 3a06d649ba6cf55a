"""Which model caches a template cache uses, which are missing, and which need other download settings.

Contract:
    * Sources with the same URI share one model cache, within a template cache and within the namespace. It is the one
      in use, else the one whose name follows from the URI, else any other of that URI.
    * While the sources of the template are unknown (it is missing, or not discovered), the model caches in use stay the
      same.
    * If several template caches have the same source, the largest size counts. Where their download settings contradict
      each other, the oldest template cache takes precedence. Those whose runtime config does not exist are last, so
      that their mistake does not delay the others.
    * Model caches that are Available, or that belong to a user, are never changed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import MODEL_CACHES
from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.template_cache import (
    DownloadSettings,
    download_changes,
    model_cache_manifest,
    model_cache_name,
    size_of,
    sources_of,
    spec_changes,
    state_of,
    template_cache_spec,
)
from aimctl.domain.caching.template_cache_observation import CacheUser, is_settled
from aimctl.domain.labels import propagated
from aimctl.domain.plan import Create, Patch, Target
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.template import wants_caching
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimctl.api.v1alpha1 import AIMModelCache
    from aimctl.domain.caching.template_cache_observation import TemplateCacheObservation
    from aimctl.kubetypes import Object

__all__ = ["Entry", "creations", "entries_of", "own_patch", "patches"]


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One source of the template, and its model cache.

    Attributes:
        name: of the source.
        source: the URI.
        size_bytes: the expected size; 0 if it is unknown.
        model_cache: name of the model cache.
        found: the model cache, if it exists.
        problem: why there cannot be a model cache; empty if there can.
    """

    name: str
    source: str
    size_bytes: int
    model_cache: str
    found: Object[AIMModelCache] | None
    problem: str = ""

    @property
    def state(self) -> CacheState:
        """The state that the status lists for it."""
        if self.problem:
            return CacheState.FAILED
        return CacheState.PENDING if self.found is None or self.found.meta.deleting else state_of(self.found)

    def to_json(self) -> dict[str, Any]:
        """The item of ``status.models``."""
        out = {
            "name": self.name,
            "source": self.source,
            "modelCache": self.model_cache,
            "status": str(self.state),
        }
        claim = self.found.view.status.persistent_volume_claim if self.found is not None else None
        return out | ({"persistentVolumeClaim": claim} if claim else {})


def entries_of(seen: TemplateCacheObservation) -> list[Entry]:
    """One for each source, in the order of the template."""
    sources = seen.template.view.status.model_sources if seen.template is not None else ()
    listed = seen.cache.view.status.models
    if not sources:
        by_name = {item.meta.name: item for item in seen.model_caches}
        return [
            Entry(item.name, item.source, 0, item.model_cache, by_name.get(item.model_cache))
            for item in listed
        ]
    in_use = {item.source: item.model_cache for item in listed}
    sizes = sources_of(seen.template)
    return [_entry(seen, item.name, item.source, sizes[item.source], in_use) for item in sources]


def _entry(
    seen: TemplateCacheObservation, name: str, source: str, size_bytes: int, in_use: dict[str, str]
) -> Entry:
    own = model_cache_name(source)
    usable = [
        item for item in seen.model_caches if item.view.spec.source_uri == source and not item.meta.deleting
    ]
    if usable:
        chosen = min(
            usable,
            key=lambda item: (
                item.meta.name != in_use.get(source),
                item.meta.name != own,
                state_of(item) is not CacheState.AVAILABLE,
                item.meta.creation_timestamp,
                item.meta.name,
            ),
        )
        return Entry(name, source, size_bytes, chosen.meta.name, chosen)
    holder = next((item for item in seen.model_caches if item.meta.name == own), None)
    if holder is not None and not holder.meta.deleting:
        problem = (
            f"AIMModelCache {own!r} exists already and downloads {holder.view.spec.source_uri}: delete it,"
            f" or create another AIMModelCache for {source}"
        )
        return Entry(name, source, size_bytes, own, None, problem)
    rejection = seen.rejections.get(own, "")
    problem = f"the API server rejected AIMModelCache {own!r}: {rejection}" if rejection else ""
    return Entry(name, source, size_bytes, own, holder, problem)


def creations(seen: TemplateCacheObservation, entries: Iterable[Entry]) -> Iterator[Create]:
    """Create the model caches that are missing, each once."""
    template, config = seen.template, seen.runtime_config
    if template is None or template.meta.deleting or isinstance(config, Missing):
        return
    taken = {item.meta.name for item in seen.model_caches}
    for entry in {item.model_cache: item for item in entries}.values():
        if not template.view.status.model_sources or entry.found is not None or entry.model_cache in taken:
            continue
        manifest = model_cache_manifest(
            seen.cache.meta.namespace,
            entry.source,
            _size(seen, entry),
            _settings(seen, entry),
            labels=propagated(seen.cache.meta.labels, config.spec),
        )
        yield Create(MODEL_CACHES, manifest)


def patches(seen: TemplateCacheObservation, entries: Iterable[Entry]) -> Iterator[Patch]:
    """Update the managed model caches that are not filled yet and have other settings than they should."""
    if seen.template is None or isinstance(seen.runtime_config, Missing):
        return
    for entry in {item.model_cache: item for item in entries}.values():
        found = entry.found
        if found is None or is_settled(found) or found.meta.deleting:
            continue
        changes = _changes(found, _settings(seen, entry), _size(seen, entry))
        if changes:
            yield Patch(Target.of(found), {"spec": changes})


def own_patch(seen: TemplateCacheObservation) -> Iterator[Patch]:
    """Update the spec of the template cache itself, after an edit of the template or of the services that use it."""
    template = seen.template
    if template is None or template.meta.deleting or not seen.created_for_template:
        return
    services = () if wants_caching(template) else seen.services
    if not services and not wants_caching(template):
        return
    changes = spec_changes(template_cache_spec(template, services), seen.cache.view.spec)
    if changes:
        yield Patch(Target.of(seen.cache), {"spec": changes})


def _settings(seen: TemplateCacheObservation, entry: Entry) -> DownloadSettings:
    """The download settings of all template caches that use a model cache. The runtime config of this one exists."""
    users = [item for item in seen.users if item.uses(entry.model_cache)]
    users.append(CacheUser(seen.cache))
    users.sort(
        key=lambda item: (not item.configured, item.cache.meta.creation_timestamp, item.cache.meta.name)
    )
    return DownloadSettings.merged([item.cache.view.spec for item in users])


def _size(seen: TemplateCacheObservation, entry: Entry) -> int:
    """The largest size that a template cache of the namespace expects of a source."""
    sizes = (sources_of(user.template).get(entry.source, 0) for user in seen.users)
    return max(entry.size_bytes, *sizes, 0)


def _changes(found: Object[AIMModelCache], settings: DownloadSettings, size_bytes: int) -> dict[str, Any]:
    """The merge patch for the spec of a model cache. A size that is larger than needed is kept."""
    spec = found.view.spec
    changes = download_changes(settings.to_json(), spec)
    if spec.runtime_config_name != settings.runtime_config:
        changes["runtimeConfigName"] = settings.runtime_config
    if settings.storage_class and spec.storage_class_name != settings.storage_class:
        changes["storageClassName"] = settings.storage_class
    # A size that cannot be read is a user's edit; the model cache reports it.
    with contextlib.suppress(ValueError):
        if size_in_bytes(spec.size) < size_bytes:
            changes["size"] = size_of(size_bytes)
    return changes
