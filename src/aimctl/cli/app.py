"""The command line: every command, registered in one place.

The modules of commands are light: a command imports what it needs inside its function. So ``aimctl manager`` does not
load the embedded server, and ``--help`` and shell completion load neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

__all__ = ["app"]

COMMANDS = (
    "manager",
    "dev",
    "manifests",
    "init",
    "status",
    "explain",
    "logs",
    "queue",
    "rediscover",
    "runbook",
    "completion",
)
"""The commands in the order of the help: each is the function of this name in ``aimctl.cli.commands.<name>``."""

app = typer.Typer(
    name="aimctl",
    help="The AIM operator: discovers what AI models need and keeps their service templates.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for name in COMMANDS:
    app.command()(getattr(import_module(f"aimctl.cli.commands.{name}"), name))


def _print_version(wanted: bool) -> None:
    if wanted:
        from aimctl import __version__

        print(f"aimctl {__version__}")
        raise typer.Exit(0)


@app.callback()
def before_any_command(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Print the help if there is no command; ``--version`` has been handled before."""
    del version
    if context.invoked_subcommand is None:
        print(context.get_help())
