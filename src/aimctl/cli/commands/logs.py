"""``aimctl logs``: the log of the pod behind an object."""

from __future__ import annotations

from typing import Annotated

import typer

from aimctl.cli.flags import Asked, ObjectKind, ObjectName, OperatorNamespace, asking, parse_object

__all__ = ["logs"]


@asking
def logs(
    asked: Asked,
    kind: ObjectKind,
    name: ObjectName = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print the log as it is written, until the container ends.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=1, help="Only this many last lines; default: all.")
    ] = None,
    container: Annotated[
        str | None, typer.Option("--container", "-c", help="Container; default: the first of the pod.")
    ] = None,
    operator_namespace: OperatorNamespace = "kaiwo-system",
) -> int:
    """Print the log of the discovery, the download or the model server behind an object.

    The newest pod is used: of the discovery Job of a template, of the download Job of a cache, or of the
    InferenceService of a service. Which one it is goes to standard error. Exit code: 0, 4 if there is no such object
    or no pod, 5 if a permission is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.connect import connected, run
    from aimctl.cli.pages.logs import print_log
    from aimctl.cli.rendering.screens import Format

    if asked.output is not Format.table:
        raise typer.BadParameter(f"--output {asked.output.value}: a log is text; leave the flag out")
    found, wanted = parse_object(kind, name, "logs")

    async def main() -> int:
        async with connected(asked.connection) as link:
            return await print_log(
                link,
                found,
                wanted,
                asked.namespace or link.info.namespace,
                operator_namespace=operator_namespace,
                container=container or "",
                tail=tail,
                follow=follow,
            )

    return run(main)
