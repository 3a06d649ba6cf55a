"""Extensions of the operator: entry points of installed packages, and functions named on the command line.

Every failure is a :class:`CommandError` of one line with the remedy.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aimctl.cli.errors import CommandError
from aimctl.runtime.program import CannotExtend, add_extensions, find_extensions, requirements_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.runtime.manager import Requirements
    from aimctl.runtime.program import Extension

__all__ = ["GROUP", "extensions", "requirements"]

GROUP = "aimctl.reconcilers"
"""The group of the entry points."""


def extensions(named: Sequence[str], skipped: Sequence[str]) -> tuple[Extension, ...]:
    """Find the extensions.

    Raises:
        CommandError: a skipped one is not installed, or a name has the wrong form.
    """
    try:
        return find_extensions(GROUP, named=named, skipped=skipped)
    except CannotExtend as error:
        raise CommandError(str(error)) from error


def requirements(
    named: Sequence[str], skipped: Sequence[str], operator_namespace: str, *, only: str | None = None
) -> Requirements | None:
    """Return the requirements of the extensions, set up next to the operator; None without extensions.

    Args:
        named: functions of the command line.
        skipped: installed extensions that are left out.
        operator_namespace: of the operator.
        only: the one extension whose requirements are returned.

    Raises:
        CommandError: an extension cannot be found, loaded or set up, or there is none with the name ``only``.
    """
    found = extensions(named, skipped)
    if only is not None:
        names = ", ".join(one.name for one in found) or "none"
        found = tuple(one for one in found if one.name == only)
        if not found:
            raise CommandError(f"--only {only}: there is no such extension; extensions: {names}")
    if not found:
        return None
    from aimctl.controllers.operator import OperatorOptions, add_controllers
    from aimctl.runtime.manager import configure_logging

    configure_logging("warning", "console")  # standard output is for the manifests
    operator = partial(add_controllers, options=OperatorOptions(operator_namespace=operator_namespace))
    try:
        return requirements_of([operator, partial(add_extensions, extensions=found)])
    except CannotExtend as error:
        raise CommandError(str(error)) from error
