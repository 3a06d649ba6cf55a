"""One manager of the soak test as a program: ``run`` with the reconciler of :mod:`support.soak`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from aimctl.runtime import run
from support.soak import add_soak

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    run(add_soak, name=name, argv=arguments)
