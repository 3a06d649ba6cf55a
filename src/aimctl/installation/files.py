"""The files with which the operator can be installed, as ``config/`` and ``aimctl manifests -o`` contain them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.controllers.manifests import HEADER, monitoring_manifests
from aimctl.installation.kustomize import kustomizations

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["kustomize_tree"]


def kustomize_tree(manifests: Mapping[str, str], operator_namespace: str) -> Mapping[str, str]:
    """Return the manifests of all parts with their ``Kustomization`` files: path -> YAML.

    Args:
        manifests: the result of :func:`~aimctl.controllers.manifests.manifests`.
        operator_namespace: of the Deployment.
    """
    files = {**manifests, **monitoring_manifests(operator_namespace)}
    return {**files, **{path: HEADER + text for path, text in kustomizations(files).items()}}
