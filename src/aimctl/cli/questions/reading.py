"""Ask the API server: the only module of this package with I/O.

Contract: a few questions are asked at a time, and lists page by page. Only a server that cannot be reached, or that
rejects the credentials, is an exception: ConnectionFailed or Unauthorized. Everything else is an answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aimctl.cli.questions.answers import Facts, Problem, Question, Trouble
from aimctl.cli.questions.explanation import LONGEST_PATH, references_of
from aimctl.cli.questions.pods import Trail, steps
from aimctl.cli.questions.queue import lists_of_queue, narrower_lists
from aimctl.kubetypes.errors import with_remedy
from aimctl.runtime.kube import (
    ApiError,
    DecodeError,
    Forbidden,
    NotFound,
    NotServed,
    Object,
    Unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from aimctl.cli.questions.answers import Answer
    from aimctl.runtime.kube import Client

__all__ = ["read", "read_path", "read_pod", "read_queue_lists"]

_AT_ONCE = 16


async def read(client: Client, now: datetime, questions: Iterable[Question]) -> Facts:
    """Ask questions that do not depend on each other."""
    return Facts(now, await _answers(client, questions))


async def read_path(client: Client, now: datetime, root: Question, operator_namespace: str) -> Facts:
    """Read an object and, step by step, the objects in which the cause of its state may lie."""
    answers = await _answers(client, [root])
    found = [one for one in answers.values() if isinstance(one, Object)]
    seen = {one.meta.uid for one in found}
    for _ in range(LONGEST_PATH):
        references = [reference for one in found for reference in references_of(one, operator_namespace)]
        questions = {question for reference in references for question in reference.questions}
        answers |= await _answers(client, questions - answers.keys())
        targets = [target for reference in references for target in reference.targets(answers)]
        found = [one for one in targets if isinstance(one, Object) and one.meta.uid not in seen]
        seen |= {one.meta.uid for one in found}
        if not found:
            break
    return Facts(now, answers)


async def read_pod(client: Client, now: datetime, item: Object[Any], operator_namespace: str) -> Trail:
    """Follow the steps from an object to its newest pod."""
    current: Object[Any] = item
    answer: Answer = ()
    for step in steps(item, operator_namespace):
        question = step.question(current)
        answer = (await read(client, now, [question])).answers[question]
        chosen = step.choose(current, answer) if isinstance(answer, tuple) else None
        if chosen is None:
            return Trail(current, step.noun, answer)
        current = chosen
    return Trail(current, "", answer)


async def read_queue_lists(client: Client, now: datetime, namespace: str, operator_namespace: str) -> Facts:
    """Read the lists of the discovery queue; where the right for all namespaces is missing, those of one namespace."""
    answers = await _answers(client, lists_of_queue())
    answers |= await _answers(client, narrower_lists(answers, namespace, operator_namespace))
    return Facts(now, answers)


async def _answers(client: Client, questions: Iterable[Question]) -> dict[Question, Answer]:
    slots = asyncio.Semaphore(_AT_ONCE)
    answers: dict[Question, Answer] = {}

    async def ask(question: Question) -> None:
        async with slots:
            answers[question] = await _answer(client, question, answers)

    try:
        async with asyncio.TaskGroup() as tasks:
            for question in dict.fromkeys(questions):
                tasks.create_task(ask(question))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return answers


async def _answer(client: Client, question: Question, answers: dict[Question, Answer]) -> Answer:
    """The answer; objects of a list that cannot be decoded go to ``answers`` one by one."""
    resource, namespace = question.resource, question.namespace
    items: list[Object[Any]] = []
    try:
        if question.name:
            item = await client.get(resource, question.name, namespace)
            item.view  # noqa: B018 - decode it here, where a failure becomes an answer
            return item
        async for item in client.list_all(
            resource, namespace, label_selector=question.labels, field_selector=question.fields
        ):
            try:
                item.view  # noqa: B018 - as above
            except DecodeError as error:
                one = Question(resource, item.meta.namespace, item.meta.name)
                answers[one] = Problem(Trouble.UNREAD, one, with_remedy(error))
            else:
                items.append(item)
    except Unauthorized:
        raise
    except Forbidden:
        return Problem(Trouble.DENIED, question, f"you may not {question.right}")
    except NotFound:
        return Problem(Trouble.ABSENT, question, "it does not exist")
    except NotServed:
        return Problem(Trouble.UNSERVED, question, f"the cluster does not serve {resource.group_resource}")
    except (ApiError, DecodeError, ValueError) as error:
        text = f"{resource.group_resource} could not be read: {with_remedy(error)}"
        return Problem(Trouble.UNREAD, question, text)
    return tuple(sorted(items, key=lambda item: item.key))
