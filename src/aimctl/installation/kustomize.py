"""The kustomize tree: one folder for each part, and ``default``, which contains those that every cluster needs.

The files are named ``Kustomization``, which kustomize accepts like ``kustomization.yaml``, because ``kubectl apply -f``
tries to apply every file that ends with ``.yaml``. They set no order: kubectl sorts what it builds by kind, and warns
about ``sortOptions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.generation.documents import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DEFAULT_FOLDERS", "kustomizations"]

DEFAULT_FOLDERS = ("crd", "rbac", "manager", "network-policy")


def kustomizations(paths: Iterable[str]) -> Mapping[str, str]:
    """Return the files ``FOLDER/Kustomization``, and that of ``default``: path -> YAML.

    Args:
        paths: of the manifests, as ``folder/name.yaml``, in the order in which they can be applied.
    """
    folders: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.partition("/")
        folders.setdefault(folder, []).append(name)
    folders["default"] = [f"../{folder}" for folder in DEFAULT_FOLDERS if folder in folders]
    return {f"{folder}/Kustomization": _kustomization(names) for folder, names in folders.items()}


def _kustomization(resources: list[str]) -> str:
    return to_yaml(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": resources,
        }
    )
