"""The flags of the commands that ask a cluster something: ``status``, ``explain``, ``queue``, ``rediscover``.

What the commands do stands in their own modules, imported when one of them is called.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from aimctl.cli import completion, values
from aimctl.cli.flags import (
    AllNamespaces,
    Context,
    DiscoveryLimit,
    Kubeconfig,
    Namespace,
    OperatorNamespace,
    Output,
    RequestTimeout,
    Watch,
    typed,
)
from aimctl.cli.output import Format

if TYPE_CHECKING:
    from aimctl.cli.connect import Connection

__all__ = ["app"]

app = typer.Typer()


@app.command()
def status(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Only what has this name: a service, template, cache or model.",
            autocompletion=completion.service_names,
        ),
    ] = None,
    *,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    output: Output = Format.table,
    watch: Watch = False,
    operator_namespace: OperatorNamespace = "kaiwo-system",
    kubeconfig: Kubeconfig = None,
    cluster_context: Context = None,
    request_timeout: RequestTimeout = 15.0,
) -> int:
    """Show services with everything below them.

    Templates, discovery Jobs, caches and deployments, with their states; then templates and caches that no service
    uses, and models. Ends with 0 if all that is shown is Ready, with 3 if something is not, 4 if nothing has the name,
    5 if a right is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.questions import Asked, run_status

    if all_namespaces and namespace is not None:
        raise typer.BadParameter(f"--all-namespaces and --namespace {namespace} contradict: give one of them")
    if name is not None:
        values.object_name(name, "NAME")
    return run_status(
        Asked(
            _connection(context, kubeconfig, cluster_context, request_timeout),
            namespace=namespace,
            all_namespaces=all_namespaces,
            output=output,
            watch=watch,
            operator_namespace=operator_namespace,
        ),
        name,
    )


@app.command()
def explain(
    context: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            help="Kind, plural or short name, such as aimsvc; or KIND/NAME.",
            autocompletion=completion.kinds_or_objects,
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(help="Name of the object.", autocompletion=completion.names)
    ] = None,
    *,
    namespace: Namespace = None,
    output: Output = Format.table,
    watch: Watch = False,
    discovery_limit: DiscoveryLimit = 10,
    operator_namespace: OperatorNamespace = "kaiwo-system",
    kubeconfig: Kubeconfig = None,
    cluster_context: Context = None,
    request_timeout: RequestTimeout = 15.0,
) -> int:
    """Tell why an object is not Ready, and what would help.

    Follows what it refers to, and shows for each object its state, the reason, and what to type. Ends with 0 if it is
    Ready, with 3 if not, 4 if there is none, 5 if a right is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.kindwords import KIND_WORDS, find_kind
    from aimctl.cli.questions import Asked, run_explain

    word, slash, after = kind.partition("/")
    if slash and name is not None:
        raise typer.BadParameter(f"{kind!r} names an object already: leave {name!r} out")
    found = find_kind(word)
    if found is None:
        known = ", ".join(one.short for one in KIND_WORDS)
        raise typer.BadParameter(f"{word!r} is none of our kinds: use one of {known}")
    wanted = after if slash else name
    if not wanted:
        raise typer.BadParameter(f"which {found.kind}? Give its name: aimctl explain {found.short} NAME")
    values.object_name(wanted, "NAME")
    return run_explain(
        Asked(
            _connection(context, kubeconfig, cluster_context, request_timeout),
            namespace=namespace,
            output=output,
            watch=watch,
            operator_namespace=operator_namespace,
            discovery_limit=discovery_limit,
        ),
        found,
        wanted,
    )


@app.command()
def queue(
    context: typer.Context,
    *,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            callback=values.namespace,
            help="Show only this one; places still count everybody.",
            autocompletion=completion.namespaces,
        ),
    ] = None,
    output: Output = Format.table,
    watch: Watch = False,
    discovery_limit: DiscoveryLimit = 10,
    operator_namespace: OperatorNamespace = "kaiwo-system",
    kubeconfig: Kubeconfig = None,
    cluster_context: Context = None,
    request_timeout: RequestTimeout = 15.0,
) -> int:
    """Show who has a discovery slot, and who waits for one.

    Those who wait stand in the order in which slots are given. --discovery-limit is for the display: tell it what the
    manager was told. Ends with 0, with 5 if a right is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.questions import Asked, run_queue

    return run_queue(
        Asked(
            _connection(context, kubeconfig, cluster_context, request_timeout),
            namespace=namespace,
            output=output,
            watch=watch,
            operator_namespace=operator_namespace,
            discovery_limit=discovery_limit,
        )
    )


@app.command()
def rediscover(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            help="Templates; KIND/NAME, as kubectl prints them, will do.",
            autocompletion=completion.template_names,
        ),
    ],
    *,
    namespace: Namespace = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="They are cluster templates.")] = False,
    output: Output = Format.table,
    kubeconfig: Kubeconfig = None,
    cluster_context: Context = None,
    request_timeout: RequestTimeout = 15.0,
) -> int:
    """Discover templates again.

    For when only the world around them has changed: a Secret's content, a registry that was down. Each is asked for,
    whatever became of the others, as long as the cluster answers. Ends with 0 if all were, with 4 if one is not there,
    5 if a right is missing, 1 for anything else.
    """
    from aimctl.cli.rediscover import rediscover as run

    if cluster and namespace is not None:
        raise typer.BadParameter(f"cluster templates have no namespace: leave --namespace {namespace} out")
    names = [_template_name(given, cluster=cluster) for given in names]
    connection = _connection(context, kubeconfig, cluster_context, request_timeout)
    return run(names, namespace=namespace, cluster=cluster, connection=connection, output=output)


def _template_name(given: str, *, cluster: bool) -> str:
    """The name in ``NAME``, or in ``KIND/NAME`` as ``kubectl get -o name`` prints it."""
    from aimctl.cli.kindwords import find_kind

    word, _, name = given.rpartition("/")
    kind = find_kind(word)
    if kind is not None and kind.short != ("aimclst" if cluster else "aimst"):
        raise typer.BadParameter(
            f"{given!r} names an {kind.kind}: give AIMServiceTemplates, or AIMClusterServiceTemplates with --cluster",
            param_hint="NAMES",
        )
    return values.object_name(given if kind is None else name, "NAMES")


def _connection(
    context: typer.Context, kubeconfig: str | None, cluster_context: str | None, request_timeout: float
) -> Connection:
    from aimctl.cli.connect import Connection

    flags = typed(context, kubeconfig="--kubeconfig", cluster_context="--context")
    return Connection(kubeconfig, cluster_context, request_timeout, flags)


class Shell(StrEnum):
    """Whose completion."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command(name="completion")
def completion_script(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print a shell's completion script.

    Kinds, namespaces and names come from the cluster. To use it in bash: source <(aimctl completion bash).
    """
    # Typer does not list it as exported; the flag --show-completion prints the same, but only for the current shell.
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # as said above

    print(get_completion_script(prog_name="aimctl", complete_var="_AIMCTL_COMPLETE", shell=shell.value))
