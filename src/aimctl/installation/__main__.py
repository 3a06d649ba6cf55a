"""``python -m aimctl.installation FOLDER``: write the generated files of the repository, ``config/`` and ``charts/``.

Contract: all files are written, and files of the generated folders that are no longer generated are deleted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aimctl.api.samples import queue_filler
from aimctl.controllers.manifests import DEFAULT_OPERATOR_NAMESPACE, HEADER, manifests
from aimctl.generation.documents import to_yaml
from aimctl.installation.chart import CHART_NAME, chart
from aimctl.installation.files import kustomize_tree
from aimctl.installation.kustomize import kustomizations

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_WRITTEN_BY_HAND = "samples"


def main(argv: Sequence[str]) -> int:
    """Write the files to the folder in ``argv``; return exit status 2 if it is missing."""
    if len(argv) != 1:
        print("usage: python -m aimctl.installation FOLDER", file=sys.stderr)  # noqa: T201 - a command
        return 2
    root = Path(argv[0])
    config = {
        **kustomize_tree(manifests(), DEFAULT_OPERATOR_NAMESPACE),
        "samples/60-queue.yaml": HEADER + to_yaml(*queue_filler()),
    }
    samples = {path.name for path in (root / "config" / _WRITTEN_BY_HAND).glob("*.yaml")} | {"60-queue.yaml"}
    config |= {
        path: HEADER + text
        for path, text in kustomizations(f"{_WRITTEN_BY_HAND}/{name}" for name in sorted(samples)).items()
        if path.startswith(_WRITTEN_BY_HAND)
    }
    files = {f"config/{path}": text for path, text in config.items()}
    files |= {f"charts/{CHART_NAME}/{path}": text for path, text in chart().items()}
    for folder in {path.rpartition("/")[0] for path in files}:
        for path in sorted((root / folder).glob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and name not in files and not folder.endswith(_WRITTEN_BY_HAND):
                path.unlink()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
