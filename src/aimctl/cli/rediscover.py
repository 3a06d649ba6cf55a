"""``aimctl rediscover``: ask for another discovery of templates whose inputs did not change.

Discovery is done once per input, so it is not repeated when only the world around has changed: a Secret has got the
right content, a registry is back. The request is an annotation, which is part of the input.

Contract: each template is asked for, whatever became of the others, until the cluster gives no answer any more. What
was asked for is told then too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.cli import CommandError, complain
from aimctl.cli.connect import ask, connected, in_words
from aimctl.cli.exits import DONE, FAILED, FORBIDDEN, NOT_FOUND
from aimctl.cli.lines import place
from aimctl.cli.output import Format, Page, Screen
from aimctl.cli.rights import Right, asking_for
from aimctl.domain.templates.discovery_job import REDISCOVER_ANNOTATION
from aimctl.runtime.clock import format_micro_time
from aimctl.runtime.kube import ConnectionFailed, Forbidden, KubeError, NotFound, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from aimctl.cli.connect import Connected, Connection
    from aimctl.runtime.kube import Resource

__all__ = ["rediscover"]


def rediscover(
    names: Sequence[str], *, namespace: str | None, cluster: bool, connection: Connection, output: Format
) -> int:
    """Ask for each template, in order; says so for each, and on standard error why not.

    Args:
        names: templates.
        namespace: where they are; None for the kubeconfig's.
        cluster: they are cluster templates.
        connection: which cluster.
        output: how the answer is written.

    Returns:
        The exit code: that of the first that could not be asked for.

    Raises:
        CommandError: there is no way to the cluster.
    """
    return ask(lambda: _rediscover(names, namespace, cluster, connection, output))


async def _rediscover(
    names: Sequence[str], namespace: str | None, cluster: bool, connection: Connection, output: Format
) -> int:
    resource = CLUSTER_TEMPLATES if cluster else TEMPLATES
    asked: list[dict[str, Any]] = []
    failures: list[CommandError] = []
    async with connected(connection, field_manager="aimctl-rediscover") as link:
        where = "" if cluster else namespace or link.info.namespace
        wanted = tuple(dict.fromkeys(names))
        for number, name in enumerate(wanted, 1):
            try:
                at = await _ask(link, resource, name, where)
            except CommandError as error:
                failures.append(error)
                continue
            except KubeError as error:
                text = f"{place(where, name)}: {in_words(error, link.info.server)}"
                if not isinstance(error, ConnectionFailed | Unauthorized):
                    failures.append(CommandError(text))
                    continue
                rest = ", ".join(wanted[number:])
                failures.append(CommandError(f"{text}; not asked for: {rest}" if rest else text))
                break
            asked.append(
                {"kind": resource.kind}
                | ({"namespace": where} if where else {})
                | {"name": name, "requestedAt": at}
            )
    code = failures[0].exit_code if failures else DONE
    if asked or output is not Format.table:
        data = {
            "schema": "aimctl.rediscover/v1",
            "requested": asked,
            "failed": [str(one) for one in failures],
        }
        Screen(output).show(Page(data, lambda _: _rows(asked), code=code))
    for failure in failures:
        complain(str(failure))
    return code


def _rows(asked: Sequence[dict[str, Any]]) -> list[Text]:
    from rich.text import Text

    return [Text(f"{place(one.get('namespace', ''), one['name'])}: discovery runs again") for one in asked]


async def _ask(link: Connected, resource: Resource[Any], name: str, namespace: str) -> str:
    """Set the annotation; its value.

    Raises:
        CommandError: it is not there, has nothing to discover, or we may not.
    """
    shown = place(namespace, name)
    at = format_micro_time(link.clock.now())
    verb = "get"
    try:
        found = await link.client.get(resource, name, namespace)
        if found.view.spec.model_sources:
            raise CommandError(
                f"{shown} has spec.modelSources: nothing is discovered for it", exit_code=FAILED
            )
        verb = "patch"
        body = {"metadata": {"annotations": {REDISCOVER_ANNOTATION: at}}}
        await link.client.patch(resource, name, body, namespace)
    except NotFound as error:
        if not (error.details or {}).get("name"):
            raise CommandError(
                f"the cluster does not serve {resource.group_resource}: install the CRDs with"
                " 'aimctl manifests crd | kubectl apply --server-side -f -'"
            ) from error
        remedy = "name its namespace with -n, or say --cluster" if namespace else "without --cluster, name -n"
        raise CommandError(f"no {resource.kind} {shown!r}; {remedy}", exit_code=NOT_FOUND) from error
    except Forbidden as error:
        right = Right(verb, resource.group, resource.plural, namespace)
        role = "view" if verb == "get" else "edit"
        raise CommandError(
            f"forbidden: you may not {right}. {asking_for([right], role=role)}", exit_code=FORBIDDEN
        ) from error
    return at
