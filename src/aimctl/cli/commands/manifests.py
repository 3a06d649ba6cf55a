"""``aimctl manifests``: what a cluster needs to run the operator, generated from the types of this version.

Contract: on standard output, the documents are in an order in which they can be applied. As files, they are a kustomize
tree as in ``config/``, or a Helm chart.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from aimctl.cli import checks
from aimctl.cli.flags import OperatorNamespace, Skip, WatchNamespace, With  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["manifests"]


class Part(StrEnum):
    """Parts of the manifests."""

    all = "all"
    crd = "crd"
    rbac = "rbac"
    manager = "manager"
    network_policy = "network-policy"
    prometheus = "prometheus"
    pod_monitor = "pod-monitor"
    grafana = "grafana"
    chart = "chart"


def manifests(
    part: Annotated[
        Part,
        typer.Argument(
            help="Which of them: 'prometheus', 'pod-monitor' (instead of the ServiceMonitor) and 'grafana' (the"
            " dashboard) are not part of 'all'; 'chart' is a Helm chart and needs --output."
        ),
    ] = Part.all,
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

    CRDs, RBAC rules, the Deployment and the network policy, in an order in which 'kubectl apply --server-side -f -' can
    apply them, with the CRDs and permissions of installed extensions. The Deployment has --with and --skip as given
    here. With --output, they are a kustomize tree whose folder 'default' contains all of them.
    """
    from aimctl.api.deployment import DEFAULT_IMAGE
    from aimctl.cli.programs.extensions import requirements
    from aimctl.controllers.manifests import MONITORING_FOLDERS, extension_manifests, manifests
    from aimctl.installation.files import kustomize_tree

    needed = requirements(with_ or (), skip or (), operator_namespace, only=only)
    namespaces = tuple(watch_namespace or ())
    if part is Part.chart:
        _check_chart(output, image=image, namespaces=namespaces, only=only)
        from aimctl.installation.chart import chart

        every = chart(needed, with_=with_ or (), skip=skip or ())
    elif only is not None and needed is not None:
        every = extension_manifests(
            only, needed, operator_namespace=operator_namespace, watch_namespaces=namespaces
        )
    else:
        parts = manifests(
            operator_namespace=operator_namespace,
            image=DEFAULT_IMAGE if image is None else image,
            watch_namespaces=namespaces,
            requirements=needed,
            with_=with_ or (),
            skip=skip or (),
        )
        every = kustomize_tree(parts, operator_namespace)
    if part not in (Part.all, Part.chart):
        every = {name: text for name, text in every.items() if name.startswith(f"{part}/")}
    if output is not None:
        _write(output, every)
        return
    printed = (
        text
        for name, text in every.items()
        if name.endswith(".yaml")
        and (part is not Part.all or name.partition("/")[0] not in MONITORING_FOLDERS)
    )
    sys.stdout.write("---\n".join(printed))


def _check_chart(
    output: Path | None, *, image: str | None, namespaces: tuple[str, ...], only: str | None
) -> None:
    """Raise ``BadParameter`` for options that a chart does not have."""
    if output is None:
        raise typer.BadParameter("a chart consists of files: add --output FOLDER")
    for flag, given, instead in (
        ("--image", image, "the values image.repository and image.tag"),
        ("--watch-namespace", namespaces, "the value watchNamespaces"),
        ("--only", only, "aimctl manifests --only"),
    ):
        if given:
            raise typer.BadParameter(f"{flag} is not an option of a chart: use {instead}")


def _write(output: Path, files: Mapping[str, str]) -> None:
    """Write the files and print their paths.

    Raises:
        CommandError: a file cannot be written.
    """
    from aimctl.cli.errors import CommandError

    try:
        for name, text in files.items():
            path = output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"--output {output}: {error.strerror or error}; name a folder you may write to"
        ) from error
    for name in files:
        print(output / name)
