"""``aimctl manager``: run the operator on a cluster."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from aimctl.cli import checks, completing
from aimctl.cli.flags import (
    DiscoveryLimit,
    Kubeconfig,
    LogLevel,
    LogLevelFlag,
    OperatorNamespace,
    Skip,
    WatchNamespace,
    With,
)

__all__ = ["manager"]


class LogFormat(StrEnum):
    """The format of log records: one JSON object a line, or text."""

    json = "json"
    console = "console"


def manager(
    *,
    kubeconfig: Kubeconfig = None,
    context: Annotated[
        str | None,
        typer.Option(
            envvar="AIM_CONTEXT",
            help="Context of the kubeconfig; default: its current one.",
            autocompletion=completing.contexts,
        ),
    ] = None,
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
            callback=checks.namespace,
            help="Namespace of the lease; default: the operator namespace.",
        ),
    ] = None,
    metrics_bind_address: Annotated[
        str,
        typer.Option(
            envvar="AIM_METRICS_BIND_ADDRESS",
            callback=checks.bind_address,
            help="host:port of /metrics and /debug; 0 switches them off.",
        ),
    ] = "127.0.0.1:8080",
    metrics_secure: Annotated[
        bool,
        typer.Option(
            "--metrics-secure/--no-metrics-secure",
            envvar="AIM_METRICS_SECURE",
            help="Serve them with TLS, to clients with a token and a permission.",
        ),
    ] = False,
    metrics_cert_dir: Annotated[
        str | None,
        typer.Option(
            envvar="AIM_METRICS_CERT_DIR",
            metavar="FOLDER",
            help="Folder with tls.crt and tls.key for --metrics-secure; default: a self-signed certificate.",
        ),
    ] = None,
    metrics_audience: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics-audience",
            envvar="AIM_METRICS_AUDIENCE",
            metavar="AUDIENCE",
            callback=checks.comma_separated,
            help="Audience of tokens for --metrics-secure; may be repeated, or comma-separated; default: those of the"
            " API server.",
        ),
    ] = None,
    health_probe_bind_address: Annotated[
        str,
        typer.Option(
            envvar="AIM_HEALTH_PROBE_BIND_ADDRESS",
            callback=checks.bind_address,
            help="host:port of /healthz and /readyz; 0 switches them off.",
        ),
    ] = ":8081",
    discovery_limit: DiscoveryLimit = 10,
    operator_namespace: OperatorNamespace = "kaiwo-system",
    watch_namespace: WatchNamespace = None,
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
            callback=checks.registry_mirrors,
            help="Read this image registry's metadata from a mirror, '*' for all registries; may be repeated, or"
            " comma-separated.",
        ),
    ] = None,
    allowed_registry: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-registry",
            envvar="AIM_ALLOWED_REGISTRY",
            metavar="HOST",
            callback=checks.allowed_registries,
            help="Read image metadata from this registry only, such as '*.example.org'; may be repeated, or"
            " comma-separated; default: all.",
        ),
    ] = None,
    with_: With = None,
    skip: Skip = None,
    log_level: LogLevelFlag = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="AIM_OPERATOR_LOG_FORMAT", help="json, or console for text.")
    ] = LogFormat.json,
) -> None:
    """Run the operator on a cluster.

    Runs until SIGTERM or Ctrl-C; a second signal ends it immediately. Flags take precedence over environment variables.
    """
    from aimctl.cli.programs.manager import ManagerSettings, run_operator
    from aimctl.controllers.options import LEASE_NAME, OperatorOptions
    from aimctl.runtime.program import RunOptions

    if not metrics_secure and (metrics_cert_dir or metrics_audience):
        flag = "--metrics-cert-dir" if metrics_cert_dir else "--metrics-audience"
        raise typer.BadParameter("has no effect without --metrics-secure: add it", param_hint=flag)
    operator = OperatorOptions(
        operator_namespace=operator_namespace,
        discovery_limit=discovery_limit,
        watch_namespaces=tuple(watch_namespace or ()),
        max_concurrent_reconciles=max_concurrent_reconciles,
        registry_mirrors=dict(pair.split("=", 1) for pair in registry_mirror or ()),
        allowed_registries=tuple(allowed_registry or ()),
    )
    run_operator(
        ManagerSettings(
            RunOptions(
                name="aimctl",
                kubeconfig=kubeconfig,
                context=context,
                leader_elect=leader_elect,
                leader_election_namespace=leader_election_namespace or operator_namespace,
                lease_name=LEASE_NAME,
                lease_labels=operator.lease_labels,
                metrics_bind_address=metrics_bind_address,
                metrics_secure=metrics_secure,
                metrics_cert_dir=metrics_cert_dir or "",
                metrics_audiences=tuple(metrics_audience or ()),
                health_probe_bind_address=health_probe_bind_address,
                watch_namespaces=operator.namespaces,
                log_level=log_level.value,
                log_format=log_format.value,
            ),
            operator,
            with_=tuple(with_ or ()),
            skip=tuple(skip or ()),
        )
    )
