"""The output of ``aimctl logs``: the log of one container, as it is."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from aimctl.api.kinds import OPERATOR_KINDS
from aimctl.cli.connect import describe_error
from aimctl.cli.errors import CommandError
from aimctl.cli.exits import DONE, NOT_FOUND
from aimctl.cli.kinds import short_name
from aimctl.cli.pages.answering import forbidden, require_answer
from aimctl.cli.pages.explain import not_found
from aimctl.cli.questions.answers import Problem, Question
from aimctl.cli.questions.pods import HAVE_PODS
from aimctl.cli.questions.reading import read, read_pod
from aimctl.cli.rendering.values import clean_lines, place
from aimctl.cli.suggestions import command
from aimctl.runtime.kube import ApiError, Forbidden, Object
from aimctl.runtime.program import Right

if TYPE_CHECKING:
    from aimctl.cli.connect import Connected

__all__ = ["print_log"]


async def print_log(
    link: Connected,
    kind: str,
    name: str,
    namespace: str,
    *,
    operator_namespace: str,
    container: str,
    tail: int | None,
    follow: bool,
) -> int:
    """Print the log of the pod behind an object; the namespace is ignored for a cluster-scoped kind.

    Raises:
        CommandError: the object, its pod or the container does not exist, or cannot be read.
    """
    resource = next(one for one in OPERATOR_KINDS if one.kind == kind)
    if resource not in HAVE_PODS:
        raise CommandError(
            f"no pod runs for an {kind}: give one of {', '.join(short_name(one.kind) for one in HAVE_PODS)}",
            exit_code=2,
        )
    question = Question(resource, namespace if resource.namespaced else "", name)
    item = (await read(link.client, link.clock.now(), [question])).answers[question]
    if isinstance(item, Problem):
        await not_found(link, item)
    assert isinstance(item, Object)  # noqa: S101 - the answer to a question with a name
    pod = await _pod(link, item, operator_namespace)
    names = [one.name for one in pod.view.spec.containers or ()]
    where = place(pod.meta.namespace, pod.meta.name)
    if container and container not in names:
        raise CommandError(
            f"pod {where} has no container {container!r}: it has {', '.join(names)}", exit_code=NOT_FOUND
        )
    chosen = container or names[0]
    print(f"pod {where}, container {chosen}:", file=sys.stderr)
    try:
        await _copy(link, pod, chosen, tail, follow=follow)
    except Forbidden:
        forbidden([Right("get", "", "pods/log", pod.meta.namespace)])
    except ApiError as error:
        raise CommandError(f"no log of pod {where}: {describe_error(error, link.info.server)}") from error
    return DONE


async def _pod(link: Connected, item: Object[Any], operator_namespace: str) -> Object[Any]:
    """The pod behind the object."""
    trail = await read_pod(link.client, link.clock.now(), item, operator_namespace)
    require_answer([trail.answer])
    if not trail.found:
        _nothing(item, trail.last, trail.missing)
    return trail.last


def _nothing(item: Object[Any], current: Object[Any], noun: str) -> NoReturn:
    """Raise CommandError: the last step found nothing."""
    title = f"{current.resource.kind} {place(current.meta.namespace, current.meta.name)}"
    where = f" -n {item.meta.namespace}" if item.meta.namespace else ""
    explain = command(f"aimctl explain {short_name(item.resource.kind)} {item.meta.name}{where}")
    raise CommandError(
        f"{title} has no {noun}: it has not started, or it has ended and was deleted; its state: {explain}",
        exit_code=NOT_FOUND,
    )


async def _copy(link: Connected, pod: Object[Any], container: str, tail: int | None, *, follow: bool) -> None:
    """Copy the log to standard output.

    Bytes that are not UTF-8 are replaced. On a terminal, control characters are replaced as well, so that a container
    cannot control the terminal.
    """
    show = _Output()
    name, namespace = pod.meta.name, pod.meta.namespace
    if not follow:
        show(await link.client.logs(name, namespace, container=container, tail_lines=tail))
        return
    async with link.client.follow_logs(name, namespace, container=container, tail_lines=tail) as chunks:
        async for chunk in chunks:
            show(chunk)


class _Output:
    """Standard output for pieces of UTF-8; a character may be split between two pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._terminal = sys.stdout.isatty()

    def __call__(self, piece: bytes) -> None:
        text = self._decoder.decode(piece)
        sys.stdout.write(clean_lines(text) if self._terminal else text)
        sys.stdout.flush()
