"""Putting questions to the server, and following up what a teller asks.

Contract:
    * Questions are put a few at a time, lists page by page. What is refused, not there or not served is an answer; only
      a server that cannot be reached, or does not know us, ends it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from aimctl.cli.facts import Absent, Denied, Facts, GetOne, ListAll, Unread, Unserved
from aimctl.runtime.kube import (
    ApiError,
    DecodeError,
    Forbidden,
    NotFound,
    Unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.cli.facts import Answer, Book, Question
    from aimctl.runtime.kube import Client, Object

__all__ = ["follow", "put"]

T = TypeVar("T")

_AT_ONCE = 16
_ROUNDS = 24
"""References are followed so many steps at most; the longest real chain has about ten."""


async def put(client: Client, questions: Iterable[Question]) -> dict[Question, Answer]:
    """The answers.

    Raises:
        Unauthorized: the server does not know us.
        ConnectionFailed: the server does not answer.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(question: Question) -> Answer:
        async with slots:
            return await _answer(client, question, odd)

    odd: dict[Question, Answer] = {}
    wanted = tuple(dict.fromkeys(questions))
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(question)) for question in wanted]
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return odd | {question: task.result() for question, task in zip(wanted, running, strict=True)}


async def follow(client: Client, facts: Facts, tell: Callable[[Book], T]) -> tuple[T, Facts]:
    """Run ``tell`` until it asks nothing new; what it told last, and from which facts."""
    from aimctl.cli.facts import Book

    for _ in range(_ROUNDS):
        book = Book(facts)
        told = tell(book)
        if not book.open:
            return told, facts
        facts = facts.plus(await put(client, book.open))
    return tell(Book(facts)), facts


async def _answer(client: Client, question: Question, odd: dict[Question, Answer]) -> Answer:
    what = question.resource.group_resource
    try:
        match question:
            case GetOne():
                item = await client.get(question.resource, question.name, question.namespace)
                item.view  # noqa: B018 - decode it here, where a failure can be told
                return item
            case ListAll():
                return await _list(client, question, odd)
    except Unauthorized:
        raise
    except Forbidden:
        return Denied(question.right)
    except NotFound as error:
        # Of an object that is missing the server tells the name; of a kind that is not served it knows none.
        named = isinstance(question, GetOne) and bool((error.details or {}).get("name"))
        return Absent() if named else Unserved()
    except (ApiError, DecodeError) as error:
        return Unread(f"{what} could not be read: {error}")


async def _list(client: Client, question: ListAll, odd: dict[Question, Answer]) -> Answer:
    """All that can be read; what cannot goes to ``odd``, so that one odd object does not hide the others."""
    items: list[Object[object]] = []
    async for item in client.list_all(
        question.resource,
        question.namespace,
        label_selector=question.labels,
        field_selector=question.fields,
    ):
        try:
            item.view  # noqa: B018 - as above
        except DecodeError as error:
            odd[GetOne(question.resource, item.meta.name, item.meta.namespace)] = Unread(str(error))
        else:
            items.append(item)
    return tuple(sorted(items, key=lambda item: item.key))
