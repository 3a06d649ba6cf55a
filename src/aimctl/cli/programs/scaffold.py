"""New projects: a skeleton of files, filled with names.

Contract:
    * :func:`project_files` is pure: the same names give the same files. Every name is checked before, so the files are
      valid.
    * :func:`write_project` never overwrites a file. If one of the files exists, none is written.

The skeleton is a folder of this package with the tree of a project. ``package`` stands for the name of the package,
``dot_`` for a leading dot and ``dunder_`` for underscores on both sides. In the files, ``@name@`` and the like are
placeholders.
"""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, final

import msgspec

from aimctl import __version__
from aimctl.cli.errors import CommandError
from aimctl.generation import CustomKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

__all__ = ["Names", "kind_of", "name_problem", "project_files", "taken_names", "write_project"]

_SKELETON = files("aimctl.cli.programs") / "skeleton"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_KIND = re.compile(r"[A-Z][A-Z0-9]*[a-z][A-Za-z0-9]*")
_MAX_LENGTH = 40
_TAKEN_PACKAGES = frozenset({"aimctl", "config", "msgspec", "tests", *sys.stdlib_module_names})
_TAKEN_KINDS = frozenset({"Annotated", "Condition", "CustomKind", "Meta", "PrinterColumn", "Spec", "Status"})
_PLACEHOLDER = re.compile(r"@(\w+)@")


class _AnyKind(msgspec.Struct, frozen=True):
    """A kind whose names only are used."""


@final
@dataclass(frozen=True, slots=True)
class Names:
    """The names of a project.

    Attributes:
        name: of the project, the controller and the extension, such as ``site-backup``.
        group: API group of its kind, such as ``example.org``.
        kind: CamelCase name of its kind, such as ``SiteBackup``.

    Raises:
        ValueError: a name is not valid; the message has the value and the remedy.
    """

    name: str
    group: str
    kind: str

    def __post_init__(self) -> None:
        problem = name_problem(self.name) or _kind_problem(self.kind)
        if problem:
            raise ValueError(problem)
        self.placeholders()

    @property
    def package(self) -> str:
        """The name of the Python package."""
        return self.name.replace("-", "_")

    def placeholders(self) -> Mapping[str, str]:
        """Return the values of the placeholders."""
        declared = CustomKind(_AnyKind, group=self.group, version="v1alpha1", name=self.kind)
        return {
            "name": self.name,
            "package": self.package,
            "group": self.group,
            "Kind": self.kind,
            "plural": declared.plural,
            "version": __version__,
        }


def name_problem(name: str) -> str:
    """Return why this cannot be the name of a project, with the remedy; "" if it can."""
    if not _NAME.fullmatch(name) or len(name) > _MAX_LENGTH:
        return (
            f"{name!r} is not a project name: use up to {_MAX_LENGTH} lower-case letters, digits and '-', such as"
            " site-backup"
        )
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in _TAKEN_PACKAGES:
        return f"{name!r}: a Python package cannot be named {package}: use another name, such as my-{name}"
    return ""


def taken_names() -> frozenset[str]:
    """Return the names of the operator's controllers. The controller of a project runs in the same manager."""
    from aimctl.controllers.operator import OperatorOptions, add_controllers
    from aimctl.runtime.program.extensions import set_up_without_cluster

    manager = set_up_without_cluster([lambda manager: add_controllers(manager, OperatorOptions())])
    return frozenset(manager.controllers)


def kind_of(name: str) -> str:
    """Return the CamelCase form of a project name."""
    return "".join(word.capitalize() for word in name.split("-"))


def _kind_problem(kind: str) -> str:
    if not _KIND.fullmatch(kind) or len(kind) > _MAX_LENGTH:
        return (
            f"{kind!r} is not the name of a kind: use CamelCase, such as SiteBackup, with up to {_MAX_LENGTH} letters"
            " and digits, and a lower-case letter"
        )
    if kind in _TAKEN_KINDS:
        return f"{kind!r} is a name of the generated code: use another kind with --kind, such as My{kind}"
    return ""


def project_files(names: Names) -> Mapping[str, str]:
    """Return the files of a new project: path -> text."""
    values = names.placeholders()

    def fill(text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: values[match[1]], text)

    return {
        "/".join(_target(part, names) for part in path): fill(file.read_text(encoding="utf-8"))
        for path, file in _templates(_SKELETON, ())
    }


def write_project(project: Mapping[str, str], folder: Path) -> None:
    """Write the files of a project.

    Raises:
        CommandError: a file exists already, or cannot be written.
    """
    existing = [path for path in project if (folder / path).exists() or (folder / path).is_symlink()]
    if existing:
        raise CommandError(
            f"{folder / existing[0]} exists already; nothing was written: remove it, or choose another NAME or --output"
        )
    for path, text in project.items():
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise CommandError(
                f"{target}: {error.strerror or error}; name a folder you may write to with --output"
            ) from error


def _templates(folder: Traversable, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _templates(one, (*path, one.name))
        elif one.name.endswith(".tmpl"):
            yield (*path, one.name.removesuffix(".tmpl")), one


def _target(part: str, names: Names) -> str:
    """The name of a file or folder of the project."""
    if part == "package":
        return names.package
    part = re.sub(r"^dot_", ".", part)
    return re.sub(r"^dunder_(\w+)\.", r"__\1__.", part)
