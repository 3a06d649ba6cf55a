"""``aimctl manifests``: the CRDs, RBAC rules and Deployment, generated from the types of this version."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated

import typer

from aimctl.cli import checks
from aimctl.cli.flags import OperatorNamespace, Skip, WatchNamespace, With  # noqa: TC001 - as above

__all__ = ["manifests"]


class Part(StrEnum):
    """Parts of the manifests."""

    all = "all"
    crd = "crd"
    rbac = "rbac"
    manager = "manager"


def manifests(
    part: Annotated[Part, typer.Argument(help="Which of them.")] = Part.all,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write files into; default: standard output."),
    ] = None,
    operator_namespace: OperatorNamespace = "kaiwo-system",
    image: Annotated[
        str | None,
        typer.Option(
            callback=checks.image, help="Container image of the manager; default: that of this version."
        ),
    ] = None,
    watch_namespace: WatchNamespace = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only what this extension needs in addition to the operator."),
    ] = None,
    with_: With = None,
    skip: Skip = None,
) -> None:
    """Print, or write, what a cluster needs.

    CRDs, RBAC rules and the Deployment, in an order in which 'kubectl apply --server-side -f -' can apply them, with
    the CRDs and permissions of installed extensions. The Deployment has --with and --skip as given here.
    """
    from aimctl.api.deployment import DEFAULT_IMAGE
    from aimctl.cli.errors import CommandError
    from aimctl.cli.programs.extensions import requirements
    from aimctl.controllers.manifests import extension_manifests
    from aimctl.controllers.manifests import manifests as generate

    needed = requirements(with_ or (), skip or (), operator_namespace, only=only)
    namespaces = tuple(watch_namespace or ())
    if only is not None and needed is not None:
        every = extension_manifests(
            only, needed, operator_namespace=operator_namespace, watch_namespaces=namespaces
        )
    else:
        every = generate(
            operator_namespace=operator_namespace,
            image=image or DEFAULT_IMAGE,
            watch_namespaces=namespaces,
            requirements=needed,
            with_=with_ or (),
            skip=skip or (),
        )
    files = {name: text for name, text in every.items() if part is Part.all or name.startswith(f"{part}/")}
    if output is None:
        sys.stdout.write("---\n".join(files.values()))
        return
    try:
        for name, text in files.items():
            path = output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
    except OSError as error:
        raise CommandError(
            f"--output {output}: {error.strerror or error}; name a folder you may write to"
        ) from error
