"""``aimctl dev``: an embedded cluster with the operator, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated

import typer

from aimctl.cli.flags import DiscoveryLimit, LogLevel, LogLevelFlag, Skip, With

__all__ = ["dev"]


def dev(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the API server; 0 takes a free one.")
    ] = 0,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve HTTPS, with a certificate authority of its own.")
    ] = False,
    kubeconfig_out: Annotated[
        Path | None,
        typer.Option(
            "--kubeconfig-out", help="Where to write the kubeconfig; default: a file in the temporary folder."
        ),
    ] = None,
    with_manager: Annotated[
        bool, typer.Option("--manager/--no-manager", help="Run the operator in it as well.")
    ] = True,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="YAML file with the results of images' discovery; default: the built-in one."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="File that keeps the objects across restarts; default: memory only.")
    ] = None,
    discovery_limit: DiscoveryLimit = 10,
    kserve: Annotated[
        bool,
        typer.Option("--kserve/--no-kserve", help="Simulate KServe, so that services become Running."),
    ] = True,
    with_: With = None,
    skip: Skip = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Print the address of the operator's status page, and open it if there is a desktop.",
        ),
    ] = False,
    log_level: LogLevelFlag = LogLevel.warning,
) -> None:
    """Run an embedded cluster with the operator in it.

    API server, controllers, simulated GPU nodes, downloads and an image registry in one process, until Ctrl-C.
    Installed extensions join the operator, as in 'aimctl manager', and their CRDs are installed.
    """
    from aimctl.cli.programs.development import DevSettings, run_dev

    settings = DevSettings(
        port=port,
        tls=tls,
        kubeconfig_out=kubeconfig_out,
        with_manager=with_manager,
        catalogue=catalogue,
        data=data,
        discovery_limit=discovery_limit,
        kserve=kserve,
        with_=tuple(with_ or ()),
        skip=tuple(skip or ()),
        open_=open_,
    )
    run_dev(settings, log_level.value)
