"""Flags that several commands share: names, environment variables, help and completion."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, final

import typer

from aimctl.cli import checks, completing
from aimctl.cli.rendering.screens import Format
from aimctl.cli.suggestions import Typed, command, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.cli.connect import Connection

__all__ = [
    "Asked",
    "DiscoveryLimit",
    "Kubeconfig",
    "LogLevel",
    "LogLevelFlag",
    "ObjectKind",
    "ObjectName",
    "OperatorNamespace",
    "ShownLimit",
    "Skip",
    "Watch",
    "WatchNamespace",
    "With",
    "asking",
    "parse_object",
]


class LogLevel(StrEnum):
    """The lowest severity that is logged."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


LogLevelFlag = Annotated[
    LogLevel, typer.Option(envvar="AIM_OPERATOR_LOG_LEVEL", help="Lowest severity that is logged.")
]

Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        help="Path of a kubeconfig file; default: the pod's service account, else ~/.kube/config.",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again at each change, until Ctrl-C.")]
OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace",
        envvar="AIM_OPERATOR_NAMESPACE",
        callback=checks.namespace,
        help="Where discovery of cluster templates runs.",
        autocompletion=completing.namespaces,
    ),
]
DiscoveryLimit = Annotated[
    int,
    typer.Option(
        "--discovery-limit",
        envvar="AIM_DISCOVERY_LIMIT",
        min=1,
        max=1000,
        help="Most discovery Jobs that may be unfinished at once in the whole cluster.",
    ),
]
ShownLimit = Annotated[
    int | None,
    typer.Option(
        "--discovery-limit",
        envvar="AIM_DISCOVERY_LIMIT",
        min=1,
        max=1000,
        help="Number of discovery slots to show; default: that of the leader, from its Lease.",
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        envvar="AIM_WITH",
        metavar="PACKAGE:FUNCTION",
        callback=checks.comma_separated,
        help="Add the reconcilers of this function; may be repeated, or comma-separated.",
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(
        "--skip",
        envvar="AIM_SKIP",
        metavar="NAME",
        callback=checks.comma_separated,
        help="Leave out this installed extension; may be repeated, or comma-separated.",
    ),
]
WatchNamespace = Annotated[
    list[str] | None,
    typer.Option(
        "--watch-namespace",
        envvar="AIM_WATCH_NAMESPACE",
        callback=checks.namespaces,
        help="Watch only this namespace and the operator's; may be repeated, or comma-separated.",
    ),
]
ObjectKind = Annotated[
    str,
    typer.Argument(
        help="Kind, plural or short name, such as aimsvc; or KIND/NAME.",
        autocompletion=completing.kinds_or_objects,
    ),
]
ObjectName = Annotated[
    str | None, typer.Argument(help="Name of the object.", autocompletion=completing.names)
]
_Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        help="Context of the kubeconfig; default: its current one.",
        autocompletion=completing.contexts,
    ),
]
_Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        callback=checks.namespace,
        help="Namespace; default: the kubeconfig's.",
        autocompletion=completing.namespaces,
    ),
]
_Output = Annotated[Format, typer.Option("--output", "-o", help="Format of the answer.")]
_Timeout = Annotated[
    float,
    typer.Option("--request-timeout", min=0.1, max=600.0, help="Time limit of one request, in seconds."),
]


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """The values of the flags that :func:`asking` adds.

    Attributes:
        connection: which cluster to use.
        namespace: None for the kubeconfig's.
        output: format of the answer.
    """

    connection: Connection
    namespace: str | None
    output: Format


def asking(function: Callable[Concatenate[Asked, ...], int]) -> Callable[..., int]:
    """Add the flags of a command that reads or changes a cluster; the command gets them as its first argument."""

    def called(*, context: typer.Context, **given: Any) -> int:
        from aimctl.cli.connect import Connection

        shared = {name: given.pop(name) for name in _SHARED}
        connection = Connection(shared["kubeconfig"], shared["cluster_context"], shared["request_timeout"])
        with typed(_typed(context)):
            return function(Asked(connection, shared["namespace"], shared["output"]), **given)

    context, *_ = inspect.signature(called, eval_str=True).parameters.values()
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    parameters = [context, *own, *_SHARED.values()]
    called.__name__, called.__doc__ = function.__name__, function.__doc__
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined] # typer reads the flags from it
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    )
    return called


def _shared(
    *,
    namespace: _Namespace = None,
    output: _Output = Format.table,
    kubeconfig: Kubeconfig = None,
    cluster_context: _Context = None,
    request_timeout: _Timeout = 15.0,
) -> None:
    """The flags that :func:`asking` adds."""


_SHARED = inspect.signature(_shared, eval_str=True).parameters


def _typed(context: typer.Context) -> Typed:
    """The flags that were given on the command line, and that suggested commands repeat."""

    def given(name: str) -> str:
        source = context.get_parameter_source(name)
        return str(context.params[name]) if source is not None and source.name == "COMMANDLINE" else ""

    pairs = (("--kubeconfig", given("kubeconfig")), ("--context", given("cluster_context")))
    cluster = tuple(word for flag, value in pairs if value for word in (flag, value))
    return Typed(cluster, given("namespace"), given("operator_namespace"))


def parse_object(kind: str, name: str | None, subcommand: str) -> tuple[str, str]:
    """Kind and name from ``KIND NAME`` or ``KIND/NAME``.

    Args:
        kind: the first argument.
        name: the second one, if it was given.
        subcommand: the name of the command, for messages.

    Raises:
        BadParameter: it is not a kind of the operator, the name is missing or given twice, or it is not valid.
    """
    from aimctl.api.kinds import KINDS
    from aimctl.cli.kinds import did_you_mean, find_kind, short_name

    word, slash, after = kind.partition("/")
    if slash and name is not None:
        raise typer.BadParameter(f"{kind!r} has a name already: leave {name!r} out")
    found = find_kind(word)
    if found is None:
        known = ", ".join(one.short_names[0] for one in KINDS)
        words = [text for one in KINDS for text in (one.name.lower(), one.plural, *one.short_names)]
        both = command(f"aimctl {subcommand} aimsvc {word}", namespaced=True)
        name_only = "" if slash or name else f", followed by the name, such as: {both}"
        similar = did_you_mean(word.lower(), words) or f"use one of {known}{name_only}"
        raise typer.BadParameter(f"{word!r} is not a kind of the operator: {similar}")
    wanted = after if slash else name
    if not wanted:
        suggested = command(f"aimctl {subcommand} {short_name(found.name)} NAME", namespaced=True)
        raise typer.BadParameter(f"the name of the {found.name} is missing: {suggested}")
    return found.name, checks.object_name(wanted, "NAME")
