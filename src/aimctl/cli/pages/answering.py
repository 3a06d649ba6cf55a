"""What all pages have in common: the connection, the document around the data, and notes about what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from aimctl.api.kinds import INFERENCE_SERVICES
from aimctl.cli.connect import connected, describe_error, run
from aimctl.cli.errors import CommandError
from aimctl.cli.exits import FORBIDDEN, NOT_FOUND
from aimctl.cli.kinds import did_you_mean
from aimctl.cli.questions.answers import Problem, Question, Trouble
from aimctl.cli.questions.leader import leader_of, lease_of
from aimctl.cli.questions.reading import read
from aimctl.cli.questions.rights import how_to_get, missing_rights, rights_json
from aimctl.cli.rendering.screens import Screen
from aimctl.cli.rendering.watching import watch as watch_page
from aimctl.cli.suggestions import command
from aimctl.kubetypes.builtin import CORE_EVENTS, NAMESPACES
from aimctl.runtime.clock import format_time
from aimctl.runtime.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from aimctl.cli.connect import Connected
    from aimctl.cli.flags import Asked
    from aimctl.cli.questions.answers import Answer, Facts, Right
    from aimctl.cli.questions.leader import Leader
    from aimctl.cli.rendering.screens import Page

__all__ = ["answer", "check_namespace", "document", "forbidden", "notes", "read_leader", "require_answer"]


def answer(asked: Asked, page: Callable[[Connected], Awaitable[Page]], *, watch: bool = False) -> int:
    """Connect, show the page once or at each change, and return the exit code.

    Raises:
        CommandError: there is no answer.
    """

    async def main() -> int:
        async with connected(asked.connection) as link:

            async def one() -> Page:
                try:
                    return await page(link)
                except KubeError as error:
                    raise CommandError(describe_error(error, link.info.server)) from error

            screen = Screen(asked.output)
            if watch:
                return await watch_page(one, screen, link.clock)
            first = await one()
            screen.show(first)
            return first.code

    return run(main)


def document(schema: str, facts: Facts, data: dict[str, Any]) -> dict[str, Any]:
    """The document for programs: its schema and time, the data, and what is missing from it."""
    gaps = {
        "missingRights": rights_json(_missing_rights(facts)),
        "notServed": _not_served(facts),
        "unreadable": _unreadable(facts),
    }
    return {"schema": f"aimctl.{schema}", "observedAt": format_time(facts.now)} | data | gaps


def notes(facts: Facts) -> tuple[str, ...]:
    """What is missing from the answer, in sentences."""
    absent = _not_served(facts)
    installed = [_not_installed(absent).capitalize()] if absent else []
    return (*missing_rights(_missing_rights(facts)), *installed, *_unreadable(facts))


def require_answer(answers: Sequence[Answer | None], *, hint: str = "") -> None:
    """Raise CommandError if none of these questions was answered; the hint is for a missing right."""
    problems = [one for one in answers if isinstance(one, Problem)]
    if len(problems) < len(answers):
        return
    by_trouble = {
        one.trouble: [other for other in problems if other.trouble is one.trouble] for one in problems
    }
    if Trouble.UNREAD in by_trouble:
        raise CommandError(by_trouble[Trouble.UNREAD][0].message)
    if Trouble.DENIED in by_trouble:
        forbidden([one.question.right for one in by_trouble[Trouble.DENIED]], hint=hint)
    if Trouble.UNSERVED in by_trouble:
        kinds = dict.fromkeys(one.question.resource.group_resource for one in problems)
        raise CommandError(_not_installed(kinds))


def forbidden(rights: Sequence[Right], *, role: str = "view", hint: str = "") -> NoReturn:
    """Raise CommandError for missing permissions without which there is no answer."""
    raise CommandError(
        f"forbidden: you may not {rights[0]}. {how_to_get(rights, role=role)}{hint}", exit_code=FORBIDDEN
    )


async def check_namespace(link: Connected, namespace: str) -> None:
    """Raise CommandError if there is no such namespace. Without the right to read it, it counts as existing."""
    question, beside = Question(NAMESPACES, name=namespace), Question(NAMESPACES)
    answer = (await read(link.client, link.clock.now(), [question])).answers[question]
    if not isinstance(answer, Problem) or answer.trouble is not Trouble.ABSENT:
        return
    facts = await read(link.client, link.clock.now(), [beside])
    similar = did_you_mean(namespace, [item.meta.name for item in facts.list(beside)])
    hint = similar or f"list them with: {command('kubectl get namespaces')}"
    raise CommandError(f"there is no namespace {namespace!r}; {hint}", exit_code=NOT_FOUND)


async def read_leader(link: Connected, operator_namespace: str) -> Leader | None:
    """Which manager leads; None if the Lease cannot be read, because it is not part of the answer."""
    lease = await read(link.client, link.clock.now(), [lease_of(operator_namespace)])
    return leader_of(lease, operator_namespace)


def _not_installed(names: Iterable[str]) -> str:
    install = command("aimctl manifests crd | kubectl apply --server-side -f -")
    return f"the cluster does not serve {', '.join(names)}: install the CRDs with {install!r}"


def _not_served(facts: Facts) -> list[str]:
    names = {one.question.resource.group_resource for one in facts.problems(Trouble.UNSERVED)}
    return sorted(names - {INFERENCE_SERVICES.group_resource})  # a cluster may do without KServe


def _unreadable(facts: Facts) -> list[str]:
    return sorted({one.message for one in facts.problems(Trouble.UNREAD)})


def _missing_rights(facts: Facts) -> list[Right]:
    """Without the right to read Events nothing is missing: they only add to what is known."""
    rights = {one.question.right for one in facts.problems(Trouble.DENIED)}
    return sorted(one for one in rights if one.resource != CORE_EVENTS.plural)
