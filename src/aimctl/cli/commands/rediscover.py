"""``aimctl rediscover``: request another discovery of templates whose inputs did not change.

Discovery runs once per input. It is not repeated when only something outside of the input changes, such as the content
of a Secret or the availability of a registry. The request is an annotation, which is part of the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimctl.cli import checks, completing
from aimctl.cli.flags import Asked, asking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.cli.connect import Connected
    from aimctl.cli.errors import CommandError
    from aimctl.runtime.kube import Resource

__all__ = ["rediscover"]


@asking
def rediscover(
    asked: Asked,
    names: Annotated[
        list[str],
        typer.Argument(
            help="Templates, as NAME or KIND/NAME.",
            autocompletion=completing.template_names,
        ),
    ],
    *,
    cluster: Annotated[bool, typer.Option("--cluster", help="They are cluster templates.")] = False,
) -> int:
    """Discover templates again.

    Use it after a change outside of the templates: the content of a Secret, or a registry that was down. If one request
    fails, the others are still made, as long as the cluster answers. Exit code: 0 if all were made, 4 if a template
    does not exist, 5 if a permission is missing, 1 for any other failure.
    """
    from aimctl.cli.connect import run

    if cluster and asked.namespace is not None:
        raise typer.BadParameter(
            f"cluster templates have no namespace: leave --namespace {asked.namespace} out"
        )
    wanted = dict.fromkeys(_template_name(given, cluster=cluster) for given in names)
    return run(lambda: _rediscover(asked, tuple(wanted), cluster=cluster))


def _template_name(given: str, *, cluster: bool) -> str:
    """The name in ``NAME``, or in ``KIND/NAME`` as ``kubectl get -o name`` prints it."""
    from aimctl.api.v1alpha1 import CLUSTER_SERVICE_TEMPLATES, SERVICE_TEMPLATES
    from aimctl.cli.kinds import find_kind

    word, _, name = given.rpartition("/")
    kind = find_kind(word)
    if kind is not None and kind != (CLUSTER_SERVICE_TEMPLATES if cluster else SERVICE_TEMPLATES):
        raise typer.BadParameter(
            f"{given!r} names an {kind.name}: give AIMServiceTemplates, or AIMClusterServiceTemplates with --cluster",
            param_hint="NAMES",
        )
    return checks.object_name(given if kind is None else name, "NAMES")


async def _rediscover(asked: Asked, names: Sequence[str], *, cluster: bool) -> int:
    """Request each template in order, report all, and return the exit code of the first failure."""
    from rich.text import Text

    from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
    from aimctl.cli.connect import connected, describe_error
    from aimctl.cli.errors import CommandError, complain
    from aimctl.cli.exits import DONE
    from aimctl.cli.rendering.screens import Format, Page, Screen
    from aimctl.cli.rendering.values import place
    from aimctl.runtime.kube import ConnectionFailed, KubeError, Unauthorized

    resource = CLUSTER_TEMPLATES if cluster else TEMPLATES
    requested: list[dict[str, Any]] = []
    failures: list[CommandError] = []
    async with connected(asked.connection, field_manager="aimctl-rediscover") as link:
        namespace = "" if cluster else asked.namespace or link.info.namespace
        where = {"namespace": namespace} if namespace else {}
        for number, name in enumerate(names, 1):
            try:
                at = await _request(link, resource, name, namespace)
            except CommandError as error:
                failures.append(error)
            except KubeError as error:
                lost = isinstance(error, ConnectionFailed | Unauthorized)
                rest = ", ".join(names[number:]) if lost else ""
                text = f"{place(namespace, name)}: {describe_error(error, link.info.server)}"
                failures.append(CommandError(f"{text}; not requested: {rest}" if rest else text))
                if lost:
                    break
            else:
                requested.append({"kind": resource.kind} | where | {"name": name, "requestedAt": at})
    code = failures[0].exit_code if failures else DONE
    if requested or asked.output is not Format.table:
        failed = [str(one) for one in failures]
        data = {"schema": "aimctl.rediscover/v1", "requested": requested, "failed": failed}
        rows = [Text(f"{place(namespace, one['name'])}: discovery runs again") for one in requested]
        Screen(asked.output).show(Page(data, lambda _: rows))
    for failure in failures:
        complain(str(failure))
    return code


async def _request(link: Connected, resource: Resource[Any], name: str, namespace: str) -> str:
    """Set the annotation and return its value.

    Raises:
        CommandError: the template does not exist, needs no discovery, or a permission is missing.
    """
    from aimctl.cli.errors import CommandError
    from aimctl.cli.exits import NOT_FOUND
    from aimctl.cli.kinds import did_you_mean
    from aimctl.cli.pages.answering import forbidden, require_answer
    from aimctl.cli.questions.answers import Problem, Question, Trouble
    from aimctl.cli.questions.reading import read
    from aimctl.cli.rendering.values import place
    from aimctl.domain.templates.discovery_job import REDISCOVER_ANNOTATION
    from aimctl.runtime.clock import format_micro_time
    from aimctl.runtime.kube import Forbidden, NotFound, NotServed
    from aimctl.runtime.program import Right

    at = format_micro_time(link.clock.now())
    verb, role = "get", "view"
    try:
        found = await link.client.get(resource, name, namespace)
        if found.view.spec.model_sources:
            raise CommandError(
                f"{place(namespace, name)} has spec.modelSources: it is not discovered, so there is nothing to repeat"
            )
        verb, role = "patch", "edit"
        body = {"metadata": {"annotations": {REDISCOVER_ANNOTATION: at}}}
        await link.client.patch(resource, name, body, namespace)
    except NotServed:
        require_answer([Problem(Trouble.UNSERVED, Question(resource, namespace, name), "")])
        raise
    except NotFound as error:
        beside = Question(resource, namespace)
        facts = await read(link.client, link.clock.now(), [beside])
        remedy = "name its namespace with -n, or use --cluster" if namespace else "without --cluster, use -n"
        remedy = did_you_mean(name, [item.meta.name for item in facts.list(beside)]) or remedy
        raise CommandError(
            f"there is no {resource.kind} {place(namespace, name)}; {remedy}", exit_code=NOT_FOUND
        ) from error
    except ValueError as error:  # the name would change the target of the request
        raise CommandError(str(error)) from error
    except Forbidden:
        forbidden([Right(verb, resource.group, resource.plural, namespace)], role=role)
    return at
