"""The Python environments with the libraries that download images have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import environments

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BUCKET", "HUBS", "environment"]

HUBS: dict[str, tuple[str, ...]] = {
    "hub-0.32.4": ("huggingface_hub==0.32.4",),
    "hub-newest": ("huggingface_hub",),
}
"""By name: the version in the default download image (its lock file has 0.32.4), and the newest one."""

BUCKET = ("bucket-newest", ("boto3", "moto[server]"))
"""The client of S3, and a server that implements its API."""


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """The folder ``bin`` of an environment with these packages, see :func:`support.environments.environment`."""
    return environments.environment("downloads", name, packages)
