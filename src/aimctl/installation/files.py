"""The files with which the operator can be installed, as ``config/`` and ``aimctl manifests -o`` contain them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.controllers.manifests import HEADER, manifests, monitoring_manifests
from aimctl.installation.kustomize import kustomizations

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["kustomize_tree"]


def kustomize_tree(*, operator_namespace: str, **options: Any) -> Mapping[str, str]:
    """Return the manifests of all parts with their ``Kustomization`` files: path -> YAML.

    Args:
        operator_namespace: of the Deployment.
        options: others of :func:`~aimctl.controllers.manifests.manifests`.
    """
    files = {
        **manifests(operator_namespace=operator_namespace, **options),
        **monitoring_manifests(operator_namespace),
    }
    return {**files, **{path: HEADER + text for path, text in kustomizations(files).items()}}
