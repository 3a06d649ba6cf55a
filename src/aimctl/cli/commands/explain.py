"""``aimctl explain``: why an object is not Ready."""

from __future__ import annotations

from typing import Annotated

import typer

from aimctl.cli import checks, completing
from aimctl.cli.flags import Asked, DiscoveryLimit, OperatorNamespace, Watch, asking

__all__ = ["explain", "parsed"]


@asking
def explain(
    asked: Asked,
    kind: Annotated[
        str,
        typer.Argument(
            help="Kind, plural or short name, such as aimsvc; or KIND/NAME.",
            autocompletion=completing.kinds_or_objects,
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(help="Name of the object.", autocompletion=completing.names)
    ] = None,
    *,
    watch: Watch = False,
    discovery_limit: DiscoveryLimit = 10,
    operator_namespace: OperatorNamespace = "kaiwo-system",
) -> int:
    """Explain why an object is not Ready, and what to do about it.

    Follows the object's references to the root cause and shows each object on the path with its state, condition and
    reason, then the message of the root cause and commands to run. Exit code: 0 if the object is Ready, 3 if not, 4 if
    it does not exist, 5 if a right is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.pages.answering import answer
    from aimctl.cli.pages.explain import explain_page

    found, wanted = parsed(kind, name)
    return answer(
        asked,
        lambda link: explain_page(
            link,
            found,
            wanted,
            asked.namespace or link.info.namespace,
            discovery_limit=discovery_limit,
            operator_namespace=operator_namespace,
            flags=asked.connection.flags,
        ),
        watch=watch,
    )


def parsed(kind: str, name: str | None) -> tuple[str, str]:
    """Kind and name from ``KIND NAME`` or ``KIND/NAME``."""
    from aimctl.api.kinds import KINDS
    from aimctl.cli.kinds import did_you_mean, find_kind, short_name

    word, slash, after = kind.partition("/")
    if slash and name is not None:
        raise typer.BadParameter(f"{kind!r} has a name already: leave {name!r} out")
    found = find_kind(word)
    if found is None:
        known = ", ".join(one.short_names[0] for one in KINDS)
        words = [text for one in KINDS for text in (one.name.lower(), one.plural, *one.short_names)]
        similar = did_you_mean(word.lower(), words) or f"use one of {known}"
        raise typer.BadParameter(f"{word!r} is not a kind of the operator: {similar}")
    wanted = after if slash else name
    if not wanted:
        raise typer.BadParameter(
            f"the name of the {found.name} is missing: aimctl explain {short_name(found.name)} NAME"
        )
    return found.name, checks.object_name(wanted, "NAME")
