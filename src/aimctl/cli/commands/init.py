"""``aimctl init``: a new project that extends the operator."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["init"]


class What(StrEnum):
    """What can be created."""

    reconciler = "reconciler"


def init(
    what: Annotated[What, typer.Argument(help="What to create.")],
    name: Annotated[str, typer.Argument(help="Name of the project, such as site-backup.")],
    *,
    group: Annotated[str, typer.Option(help="API group of its kind: a domain of yours.")] = "example.org",
    kind: Annotated[
        str | None, typer.Option(help="CamelCase name of its kind; default: from the name of the project.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the project; default: ./NAME."),
    ] = None,
) -> None:
    """Create a project for a reconciler of your own.

    It contains the types of a kind, a reconciler, tests, a Dockerfile and a CI file. The tests pass at once.
    Installed next to aimctl, the reconciler joins 'aimctl manager'. Existing files are never overwritten.

    Example: aimctl init reconciler site-backup --group acme.example --kind SiteBackup
    """
    from aimctl.cli.programs.scaffold import (
        Names,
        kind_of,
        name_problem,
        project_files,
        taken_names,
        write_project,
    )
    from aimctl.generation import SchemaError

    del what
    problem = name_problem(name)
    if not problem and name in taken_names():
        problem = f"{name!r} is the name of a controller of the operator: use another name, such as my-{name}"
    if problem:
        raise typer.BadParameter(problem, param_hint="NAME")
    try:
        names = Names(name, group, kind or kind_of(name))
    except ValueError as error:
        hint = "--group" if isinstance(error, SchemaError) else "--kind"
        raise typer.BadParameter(str(error), param_hint=hint) from error
    folder = Path(name) if output is None else output
    project = project_files(names)
    write_project(project, folder)
    for path in project:
        print(folder / path)
    print(f"\nnext: cd {folder} && make install && make")
