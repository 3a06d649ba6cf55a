"""``aimctl runbook``: what to do about an alert, without a connection."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["runbook"]


def runbook(
    alert: Annotated[
        str | None, typer.Argument(help="Name of an alert, in any case; default: the list of all alerts.")
    ] = None,
) -> None:
    """Print what an alert means, and how to find and remove its cause.

    The text is part of the package, so it needs neither a cluster nor a network. Exit code: 0, or 2 if there is no such
    alert.
    """
    from aimctl.cli.pages.runbook import runbook_page

    print(runbook_page(alert))
