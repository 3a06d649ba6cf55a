"""The version of Kubernetes that the server reports.

Clients decide by it which features they use: since 1.34, informers begin with a watch that sends all objects instead
of with a list. The server serves both in every version.
"""

from __future__ import annotations

import re

__all__ = ["KUBERNETES", "version_info"]

KUBERNETES = "1.36.3"
"""The version with whose answers the server is compared."""


def version_info(version: str) -> dict[str, str]:
    """The document ``/version``.

    Args:
        version: such as 1.36.3.

    Raises:
        ValueError: it is not of this form.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.\d+", version)
    if found is None:
        raise ValueError(f"kubernetes={version!r}: use a version of Kubernetes such as {KUBERNETES}")
    major, minor = found.groups()
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{version}",
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2026-06-01T00:00:00Z",
        "goVersion": "go1.26.0",
        "compiler": "gc",
        "platform": "linux/amd64",
    }
