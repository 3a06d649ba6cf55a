"""Flags that several commands share: their names, environment variables, help and completion."""

from __future__ import annotations

from typing import Annotated

import typer

from aimctl.cli import completion, values
from aimctl.cli.output import Format

__all__ = [
    "AllNamespaces",
    "Context",
    "DiscoveryLimit",
    "Kubeconfig",
    "Namespace",
    "OperatorNamespace",
    "Output",
    "RequestTimeout",
    "Watch",
    "typed",
]

Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        help="Path of a kubeconfig file; default: the pod's service account, else ~/.kube/config.",
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        help="Context of the kubeconfig; default: its current one.",
        autocompletion=completion.contexts,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        callback=values.namespace,
        help="Namespace; default: the kubeconfig's.",
        autocompletion=completion.namespaces,
    ),
]
AllNamespaces = Annotated[
    bool, typer.Option("--all-namespaces", "-A", help="All namespaces, and the cluster.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How the answer is written.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again at each change, until Ctrl-C.")]
RequestTimeout = Annotated[
    float,
    typer.Option("--request-timeout", min=0.1, max=600.0, help="Limit of one request, in seconds."),
]
OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace",
        envvar="AIM_OPERATOR_NAMESPACE",
        callback=values.namespace,
        help="Where discovery of cluster templates runs.",
        autocompletion=completion.namespaces,
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


def typed(context: typer.Context, **flags: str) -> tuple[str, ...]:
    """Those of the flags (parameter: flag) that were given on the command line, as they can be given again."""
    out: list[str] = []
    for name, flag in flags.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            out += (flag, str(context.params[name]))
    return tuple(out)
