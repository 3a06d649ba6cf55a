"""Manifests as YAML text.

Contract: keys keep their order, equal objects are written repeatedly instead of as anchors, texts of several lines are
blocks, and the same documents give the same text. PyYAML is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["to_yaml"]


def to_yaml(*documents: Mapping[str, Any]) -> str:
    """Return the documents as YAML, separated by ``---``."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    def text(dumper: Dumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return "---\n".join(
        yaml.dump(dict(one), Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)
        for one in documents
    )
