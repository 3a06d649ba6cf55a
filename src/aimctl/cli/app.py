"""Every command's flags, their environment variables and defaults. What the commands do stands in their own modules.

Imports of the commands are inside the functions: ``aimctl manager`` in a cluster must not pay for the embedded server.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated

import typer

app = typer.Typer(
    name="aimctl",
    help="The AIM operator: discovers what AI models need and keeps their service templates.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class LogLevel(StrEnum):
    """Least severe records that are written."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class LogFormat(StrEnum):
    """How records are written: one JSON object a line, or text for people."""

    json = "json"
    console = "console"


Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        help="Path of a kubeconfig file; default: the pod's service account, else ~/.kube/config.",
    ),
]
DiscoveryLimit = Annotated[
    int,
    typer.Option(
        "--discovery-limit",
        envvar="AIM_DISCOVERY_LIMIT",
        min=1,
        max=1000,
        help="Discovery Jobs that may be unfinished at once in the whole cluster.",
    ),
]


OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace",
        envvar="AIM_OPERATOR_NAMESPACE",
        help="Where discovery of cluster templates runs.",
    ),
]


@app.callback()
def version_and_help(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Handle the flags that stand before a command."""
    if version:
        from aimctl import __version__

        print(f"aimctl {__version__}")
        raise typer.Exit(0)


@app.command()
def manager(
    *,
    kubeconfig: Kubeconfig = None,
    leader_elect: Annotated[
        bool,
        typer.Option(
            "--leader-elect/--no-leader-elect",
            envvar="AIM_LEADER_ELECT",
            help="Work only while holding the lease.",
        ),
    ] = False,
    leader_election_namespace: Annotated[
        str | None,
        typer.Option(
            envvar="AIM_LEADER_ELECTION_NAMESPACE",
            help="Where the lease is; default: the operator namespace.",
        ),
    ] = None,
    metrics_bind_address: Annotated[
        str, typer.Option(envvar="AIM_METRICS_BIND_ADDRESS", help="host:port of /metrics; 0 switches it off.")
    ] = ":8080",
    health_probe_bind_address: Annotated[
        str,
        typer.Option(
            envvar="AIM_HEALTH_PROBE_BIND_ADDRESS",
            help="host:port of /healthz and /readyz; 0 switches them off.",
        ),
    ] = ":8081",
    discovery_limit: DiscoveryLimit = 10,
    operator_namespace: OperatorNamespace = "kaiwo-system",
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--watch-namespace",
            envvar="AIM_WATCH_NAMESPACE",
            help="Look at this namespace only; may be repeated.",
        ),
    ] = None,
    max_concurrent_reconciles: Annotated[
        int,
        typer.Option(
            envvar="AIM_MAX_CONCURRENT_RECONCILES", min=1, max=100, help="Workers of each reconciler."
        ),
    ] = 4,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="AIM_OPERATOR_LOG_LEVEL", help="Least severe records written.")
    ] = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="AIM_OPERATOR_LOG_FORMAT", help="json, or console for people.")
    ] = LogFormat.json,
) -> None:
    """Run the operator until SIGTERM or Ctrl-C; a second signal stops it at once."""
    from aimctl.cli.manager import ManagerSettings, run_manager

    run_manager(
        ManagerSettings(
            kubeconfig=kubeconfig,
            leader_elect=leader_elect,
            leader_election_namespace=leader_election_namespace or operator_namespace,
            metrics_bind_address=metrics_bind_address,
            health_probe_bind_address=health_probe_bind_address,
            discovery_limit=discovery_limit,
            operator_namespace=operator_namespace,
            watch_namespaces=tuple(watch_namespace or ()),
            max_concurrent_reconciles=max_concurrent_reconciles,
            log_level=log_level.value,
            log_format=log_format.value,
        )
    )


@app.command()
def dev(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the API server; 0 takes a free one.")
    ] = 0,
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
        Path | None, typer.Option(help="YAML file that says what images answer; default: the built-in one.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="File that keeps the objects across restarts; default: memory only.")
    ] = None,
    discovery_limit: DiscoveryLimit = 10,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="AIM_OPERATOR_LOG_LEVEL", help="Least severe records written.")
    ] = LogLevel.warning,
) -> None:
    """Run an embedded cluster until Ctrl-C: API server, controllers, a simulated GPU node, the operator."""
    from aimctl.cli.dev import DevSettings, run_dev

    run_dev(
        DevSettings(
            port=port,
            kubeconfig_out=kubeconfig_out,
            with_manager=with_manager,
            catalogue=catalogue,
            data=data,
            discovery_limit=discovery_limit,
            log_level=log_level.value,
        )
    )


class ManifestPart(StrEnum):
    """Which manifests are meant."""

    all = "all"
    crd = "crd"
    rbac = "rbac"
    manager = "manager"


@app.command()
def manifests(
    part: Annotated[ManifestPart, typer.Argument(help="Which of them.")] = ManifestPart.all,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write files into; default: standard output."),
    ] = None,
    operator_namespace: OperatorNamespace = "kaiwo-system",
) -> None:
    """Print the CRDs, RBAC rules and Deployment, ready for ``kubectl apply -f -``, or write them to files."""
    from aimctl.cli.manifests import write_manifests

    write_manifests(part.value, output, operator_namespace=operator_namespace)
