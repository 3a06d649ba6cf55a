"""Manifests as YAML text.

Contract: keys keep their order, equal objects are written repeatedly instead of as anchors, texts of several lines are
blocks, and the same documents give the same text. PyYAML is imported on first use.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["to_yaml"]


def to_yaml(*documents: Mapping[str, Any]) -> str:
    """Return the documents as YAML, separated by ``---``."""
    import yaml

    dumper = _dumper()
    return "---\n".join(
        yaml.dump(dict(one), Dumper=dumper, sort_keys=False, width=110, allow_unicode=True)
        for one in documents
    )


@functools.cache
def _dumper() -> Any:
    """A dumper without anchors. That of libyaml gives the same text in a fifth of the time."""
    import yaml

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    base = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumper: Any = type("Dumper", (base,), {"ignore_aliases": lambda self, data: True})  # noqa: ARG005
    dumper.add_representer(str, text)
    return dumper
