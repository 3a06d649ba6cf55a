"""Parts of a status that can be removed are atomic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aimctl.api.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

CRDS = [kind.crd() for kind in KINDS]


def granular(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Objects that server-side apply would merge field by field."""
    for name, child in schema.get("properties", {}).items():
        if child.get("type") == "object" and child.get("x-kubernetes-map-type") != "atomic":
            yield f"{path}.{name}"


@pytest.mark.parametrize("crd", CRDS, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_every_object_in_a_status_is_atomic_so_that_no_null_is_left_when_it_goes(crd: dict[str, Any]) -> None:
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert list(granular(status, "status")) == []
    lists = [item for item in status["properties"].values() if item.get("type") == "array"]
    assert lists, "conditions at least"
    assert all(item.get("x-kubernetes-list-type") in {"map", "atomic", "set"} for item in lists)
