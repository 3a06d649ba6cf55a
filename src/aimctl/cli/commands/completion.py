"""``aimctl completion``: print a shell's completion script."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["completion"]


class Shell(StrEnum):
    """The shells with completion."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print a shell's completion script.

    Kinds, namespaces and names are completed from the cluster. To use it in bash: source <(aimctl completion bash).
    """
    # The flag --show-completion prints the same, but only for the current shell. Typer does not export the function.
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # see above

    print(get_completion_script(prog_name="aimctl", complete_var="_AIMCTL_COMPLETE", shell=shell.value))
