"""Runs a copy of the operator in which one text of the source is replaced.

Contract: :func:`install` is called before any module of ``aimctl`` is imported. The source on disk is not changed, and
no compiled file is written.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

    from sieve.mutants import Mutant

__all__ = ["SOURCE", "install", "mutated"]

SOURCE = Path(__file__).parent.parent.parent / "src" / "aimctl"


def mutated(mutant: Mutant) -> str:
    """The source of the module with the defect.

    Raises:
        ValueError: the old text is not in the source exactly once, so the table is out of date.
    """
    path = SOURCE / mutant.file
    source = path.read_text(encoding="utf-8")
    count = source.count(mutant.old)
    if count != 1:
        raise ValueError(
            f"mutant {mutant.name!r}: the old text occurs {count} times in {mutant.file}: update test/sieve/mutants.py"
        )
    return source.replace(mutant.old, mutant.new)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Loader(fullname, str(self._path), self._source)
        return spec


def install(mutant: Mutant) -> None:
    """Replace a module of this process.

    Raises:
        ValueError: the old text is not in the source exactly once, or the module is imported already.
    """
    source = mutated(mutant)
    name = "aimctl." + mutant.file.removesuffix(".py").replace("/", ".")
    if name in sys.modules:
        raise ValueError(f"mutant {mutant.name!r}: {name} is imported already")
    sys.meta_path.insert(0, _Finder(name, SOURCE / mutant.file, source))
