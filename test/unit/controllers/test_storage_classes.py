"""The inventory of storage classes."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.controllers.caching.storage_classes import StorageClassInventory
from aimctl.domain.caching.model_cache_observation import StorageClasses
from aimctl.kubetypes import Object, StorageClass
from aimctl.kubetypes.builtin import STORAGE_CLASSES
from support.things import make, with_meta

STABLE = "storageclass.kubernetes.io/is-default-class"
BETA = "storageclass.beta.kubernetes.io/is-default-class"


class Informer:
    """Keeps the handler."""

    def add_handler(self, handler: Any) -> None:
        self.handler = handler


def storage_class(name: str, *, created: int = 1, **annotations: str) -> Object[StorageClass]:
    obj = make(name, "", resource=STORAGE_CLASSES, annotations=annotations)
    return with_meta(obj, creationTimestamp=f"2026-01-{created:02}T00:00:00Z")


@pytest.fixture
def inventory() -> StorageClassInventory:
    return StorageClassInventory(Informer())


def test_without_classes_there_is_no_default(inventory: StorageClassInventory) -> None:
    assert inventory.classes == StorageClasses(frozenset())
    inventory.on_add(storage_class("plain"), initial=True)
    assert inventory.classes == StorageClasses(frozenset({"plain"}))


@pytest.mark.parametrize("annotation", [STABLE, BETA])
def test_the_default_follows_the_annotation(inventory: StorageClassInventory, annotation: str) -> None:
    plain, default = storage_class("a"), storage_class("a", **{annotation: "true"})
    inventory.on_add(default, initial=True)
    assert inventory.classes.default == "a"
    inventory.on_update(default, storage_class("a", **{annotation: "false"}))
    assert inventory.classes.default == ""
    inventory.on_update(plain, default)
    assert inventory.classes.default == "a"
    inventory.on_delete(default, confirmed=True)
    assert inventory.classes == StorageClasses(frozenset())


def test_of_several_default_classes_the_newest_is_the_default(inventory: StorageClassInventory) -> None:
    for name, created in (("a", 2), ("b", 3), ("c", 1)):
        inventory.on_add(storage_class(name, created=created, **{STABLE: "true"}), initial=False)
    assert inventory.classes.default == "b"
