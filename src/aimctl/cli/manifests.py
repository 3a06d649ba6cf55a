"""``aimctl manifests``: the CRDs, RBAC rules and Deployment, made from the types of this very version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aimctl.api.deployment import DEFAULT_IMAGE
from aimctl.cli import CommandError
from aimctl.controllers.manifests import manifests

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_manifests"]


def write_manifests(
    part: str, output: Path | None, *, operator_namespace: str, image: str | None = None
) -> None:
    """Write one part, or ``all``, to a folder or to standard output, in the order in which they can be applied."""
    every = manifests(operator_namespace=operator_namespace, image=DEFAULT_IMAGE if image is None else image)
    files = {name: text for name, text in every.items() if part == "all" or name.startswith(f"{part}/")}
    if output is None:
        sys.stdout.write("---\n".join(files.values()))
        return
    try:
        for name, text in files.items():
            path = output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
    except OSError as error:
        raise CommandError(
            f"--output {output}: {error.strerror or error}; name a folder you may write to"
        ) from error
