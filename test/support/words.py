"""The text constants in the source of a package."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["words_of"]


def words_of(package: ModuleType, *, besides: str = "") -> Iterator[str]:
    """Every text constant in a package, except those of the file named ``besides``."""
    for file in Path(inspect.getfile(package)).parent.rglob("*.py"):
        if file.name == besides:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
