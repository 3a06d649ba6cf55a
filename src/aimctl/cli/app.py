"""Every command's flags, their environment variables and defaults. What the commands do stands in their own modules.

Imports of the commands are inside the functions: ``aimctl manager`` in a cluster must not pay for the embedded server.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated

import typer

from aimctl.cli import asking, values
from aimctl.cli.flags import DiscoveryLimit, Kubeconfig, OperatorNamespace  # noqa: TC001 - as above

app = typer.Typer(
    name="aimctl",
    help="The AIM operator: discovers what AI models need and keeps their service templates.",
    invoke_without_command=True,
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
    """Without a command, help is the answer; ``--version`` has been answered by then."""
    del version
    if context.invoked_subcommand is None:
        print(context.get_help())


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
            callback=values.namespace,
            help="Where the lease is; default: the operator namespace.",
        ),
    ] = None,
    metrics_bind_address: Annotated[
        str,
        typer.Option(
            envvar="AIM_METRICS_BIND_ADDRESS",
            callback=values.bind_address,
            help="host:port of /metrics and /debug; 0 switches it off.",
        ),
    ] = ":8080",
    health_probe_bind_address: Annotated[
        str,
        typer.Option(
            envvar="AIM_HEALTH_PROBE_BIND_ADDRESS",
            callback=values.bind_address,
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
            callback=values.namespaces,
            help="Look at this namespace, and the operator's, only; may be repeated, or comma-separated.",
        ),
    ] = None,
    max_concurrent_reconciles: Annotated[
        int,
        typer.Option(
            envvar="AIM_MAX_CONCURRENT_RECONCILES", min=1, max=100, help="Workers of each reconciler."
        ),
    ] = 4,
    registry_mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--registry-mirror",
            envvar="AIM_REGISTRY_MIRROR",
            metavar="HOST=URL",
            callback=values.registry_mirrors,
            help="Read this image registry's metadata from a mirror, '*' for all registries; may be repeated, or"
            " comma-separated.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="AIM_OPERATOR_LOG_LEVEL", help="Least severe records written.")
    ] = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="AIM_OPERATOR_LOG_FORMAT", help="json, or console for people.")
    ] = LogFormat.json,
) -> None:
    """Run the operator on a cluster.

    Until SIGTERM or Ctrl-C; a second signal ends it at once. Flags win over environment variables.
    """
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
            registry_mirrors=dict(pair.split("=", 1) for pair in registry_mirror or ()),
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
    kserve: Annotated[
        bool,
        typer.Option("--kserve/--no-kserve", help="Simulate KServe, so that services come to run."),
    ] = True,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="AIM_OPERATOR_LOG_LEVEL", help="Least severe records written.")
    ] = LogLevel.warning,
) -> None:
    """Run an embedded cluster with the operator in it.

    API server, controllers, simulated GPU nodes, downloads and an image registry in one process, until Ctrl-C.
    """
    from aimctl.cli.dev import DevSettings, run_dev

    run_dev(
        DevSettings(
            port=port,
            kubeconfig_out=kubeconfig_out,
            with_manager=with_manager,
            catalogue=catalogue,
            data=data,
            discovery_limit=discovery_limit,
            kserve=kserve,
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
    image: Annotated[
        str | None,
        typer.Option(
            callback=values.image, help="Container image of the manager; default: that of this version."
        ),
    ] = None,
) -> None:
    """Print, or write, what a cluster needs.

    CRDs, RBAC rules and the Deployment, in an order that 'kubectl apply --server-side -f -' can take.
    """
    from aimctl.cli.manifests import write_manifests

    write_manifests(part.value, output, operator_namespace=operator_namespace, image=image)


app.add_typer(asking.app)
