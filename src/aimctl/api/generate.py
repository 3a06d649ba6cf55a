"""Writes ``config/`` from the types: ``python -m aimctl.api.generate config``.

Contract:
    * :func:`manifests` maps paths under ``config/`` to YAML, in the order in which they can be applied, the
      same text on every machine.
    * The command writes them all, and removes YAML files of the generated folders that are no longer made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from aimctl.api import deployment, rbac
from aimctl.api.crd import crd
from aimctl.api.samples import queue_filler
from aimctl.api.v1alpha1 import GROUP, KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DEFAULT_OPERATOR_NAMESPACE", "main", "manifests"]

DEFAULT_OPERATOR_NAMESPACE = "kaiwo-system"
_HEADER = "# Made by `make manifests` from src/aimctl/api; change it there.\n"
_FOLDERS = ("crd", "rbac", "manager")


def manifests(
    *, operator_namespace: str = DEFAULT_OPERATOR_NAMESPACE, image: str = deployment.DEFAULT_IMAGE
) -> Mapping[str, str]:
    """What a cluster needs: ``crd/...``, ``rbac/...``, then ``manager/...``; path -> YAML."""
    files = {f"crd/{GROUP}_{kind.plural}.yaml": _dump(crd(kind)) for kind in KINDS}
    files["rbac/00-namespace.yaml"] = _dump(deployment.namespace(operator_namespace))
    files["rbac/10-service-account.yaml"] = rbac.service_account(operator_namespace)
    files["rbac/manager-role.yaml"] = rbac.manager_role(operator_namespace)
    files["rbac/leader-election-role.yaml"] = rbac.leader_election(operator_namespace)
    files |= {f"rbac/{name}": text for name, text in rbac.people_roles().items()}
    files["manager/manager.yaml"] = _dump(deployment.deployment(operator_namespace, image))
    files["manager/metrics-service.yaml"] = _dump(deployment.metrics_service(operator_namespace))
    return {path: _HEADER + text for path, text in files.items()}


def main(argv: Sequence[str]) -> int:
    """Write the files under the folder that is named; exit status 2 when none is."""
    if len(argv) != 1:
        print("usage: python -m aimctl.api.generate FOLDER", file=sys.stderr)  # noqa: T201 - a command
        return 2
    root = Path(argv[0])
    files = {**manifests(), "samples/60-queue.yaml": _HEADER + _dump_all(queue_filler())}
    for folder in _FOLDERS:
        for path in sorted((root / folder).glob("*.yaml")):
            if path.relative_to(root).as_posix() not in files:
                path.unlink()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


class _Dumper(yaml.SafeDumper):
    """Writes equal objects out each time, never as anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias."""
        del data
        return True


def _dump(document: Mapping[str, Any]) -> str:
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=110)


def _dump_all(documents: Sequence[Mapping[str, Any]]) -> str:
    return "---\n".join(_dump(document) for document in documents)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
