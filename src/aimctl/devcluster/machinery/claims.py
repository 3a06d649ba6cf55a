"""Which PersistentVolumeClaims a pod mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["claims_of"]


def claims_of(pod: Mapping[str, Any]) -> dict[str, str]:
    """The claims a pod mounts, as a mapping from the volume's name to the claim's name."""
    found = {}
    for volume in pod["spec"].get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim:
            found[volume["name"]] = claim
    return found
