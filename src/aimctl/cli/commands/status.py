"""``aimctl status``: services with what they use, then all other templates, caches and models."""

from __future__ import annotations

from typing import Annotated

import typer

from aimctl.cli import checks, completing
from aimctl.cli.flags import Asked, OperatorNamespace, Watch, asking

__all__ = ["status"]


@asking
def status(
    asked: Asked,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Only objects of this name: services, templates, caches and models.",
            autocompletion=completing.object_names,
        ),
    ] = None,
    *,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="All namespaces, and the cluster.")
    ] = False,
    problems: Annotated[
        bool, typer.Option("--problems", help="Only what is not Ready, grouped by reason.")
    ] = False,
    watch: Watch = False,
    operator_namespace: OperatorNamespace = "kaiwo-system",
) -> int:
    """Show services with what they use, and all other objects.

    Templates, Jobs, caches and InferenceServices stand below the service that uses them; templates and caches that no
    service uses, and models, follow. With --problems, objects that are not Ready for the same reason share one row, and
    those that only wait for another object are counted. Exit code: 0 if all that is shown is Ready, 3 if something is
    not, 4 if no object or namespace has the name, 5 if a permission is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.pages.answering import answer
    from aimctl.cli.pages.status import status_page

    if all_namespaces and asked.namespace is not None:
        raise typer.BadParameter(
            f"--all-namespaces and --namespace {asked.namespace} contradict each other: give one of them"
        )
    if name is not None:
        checks.object_name(name, "NAME")

    return answer(
        asked,
        lambda link: status_page(
            link,
            "" if all_namespaces else asked.namespace or link.info.namespace,
            name or "",
            operator_namespace,
            only_problems=problems,
        ),
        watch=watch,
    )
