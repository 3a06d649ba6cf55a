"""When reviews are sent, shared, cached and rejected, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.runtime.manager.serving.secure import reviews
from aimctl.runtime.manager.serving.secure.reviews import Answer, Expiring, Reviews, Unavailable
from aimctl.testing.virtualtime import virtual_clock, virtual_time


class Server:
    """Answers reviews, each after some seconds.

    Attributes:
        asked: the keys, in the order in which reviews were started.
        seconds: of one review.
        most: largest number of concurrent reviews.
        answers: by key; an exception is raised. Others are positive.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.reviews: Reviews[str] = Reviews(virtual_clock())
        self.asked: list[bytes] = []
        self.seconds = seconds
        self.running = self.most = 0
        self.answers: dict[bytes, Answer[str] | Exception] = {}

    async def ask(self, key: bytes) -> str:
        async def send() -> Answer[str]:
            self.asked.append(key)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await asyncio.sleep(self.seconds)
            finally:
                self.running -= 1
            answer = self.answers.get(key, Answer("yes", positive=True))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return await self.reviews.answer(key, send)


NO = Answer("no", positive=False)


@virtual_time
async def test_an_answer_is_used_again_for_a_limited_time():
    server = Server()
    server.answers[b"bad"] = NO
    async with server.reviews:
        for key, seconds in ((b"good", reviews.POSITIVE_SECONDS), (b"bad", reviews.NEGATIVE_SECONDS)):
            await server.ask(key)
            await asyncio.sleep(seconds - 0.1)
            await server.ask(key)
            assert server.asked.count(key) == 1
            await asyncio.sleep(0.2)
            await server.ask(key)
            assert server.asked.count(key) == 2


@virtual_time
async def test_concurrent_requests_share_a_review():
    server = Server()
    async with server.reviews:
        assert await asyncio.gather(*(server.ask(b"token") for _ in range(50))) == ["yes"] * 50
    assert server.asked == [b"token"]


@virtual_time
async def test_a_review_continues_when_the_request_that_started_it_ends():
    server = Server()
    async with server.reviews:
        first = asyncio.ensure_future(server.ask(b"token"))
        second = asyncio.ensure_future(server.ask(b"token"))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second == "yes"
        assert await server.ask(b"token") == "yes"
    assert first.cancelled()
    assert server.asked == [b"token"]


@pytest.mark.parametrize("failure", ["error", "timeout", "uncertain"])
@virtual_time
async def test_a_failure_is_not_cached(failure: str):
    server = Server()
    if failure == "error":
        server.answers[b"token"] = Unavailable()
    elif failure == "timeout":
        server.seconds = reviews.REVIEW_SECONDS + 1
    else:
        server.answers[b"token"] = Answer("no", positive=False, certain=False)
    async with server.reviews:
        if failure == "uncertain":
            assert await server.ask(b"token") == "no"
        else:
            with pytest.raises(Unavailable):
                await server.ask(b"token")
        server.answers.clear()
        server.seconds = 1.0
        assert await server.ask(b"token") == "yes"
    assert server.asked == [b"token", b"token"]


@virtual_time
async def test_concurrent_reviews_are_limited_and_further_ones_are_rejected():
    server = Server()
    async with server.reviews:
        answers = await asyncio.gather(
            *(server.ask(b"%d" % number) for number in range(100)), return_exceptions=True
        )
    assert server.most == reviews.MAX_CONCURRENT
    assert answers.count("yes") == reviews.MAX_WAITING
    assert sum(isinstance(answer, Unavailable) for answer in answers) == 100 - reviews.MAX_WAITING


@virtual_time
async def test_the_rate_of_reviews_of_invented_tokens_is_limited():
    server = Server(seconds=0.0)
    seconds = 60
    async with server.reviews:
        for number in range(seconds * 100):
            try:
                await server.ask(b"%d" % number)
            except Unavailable:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        sent = len(server.asked)
    elapsed = asyncio.get_running_loop().time()
    assert sent <= reviews.BURST + reviews.REVIEWS_PER_SECOND * elapsed + 1


@virtual_time
async def test_a_flood_of_invented_tokens_does_not_delay_a_known_client():
    server = Server()
    async with server.reviews:
        assert await server.ask(b"known") == "yes"
        server.asked.clear()
        stop = asyncio.Event()

        async def flood() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                server.answers[b"%d" % number] = NO
                try:
                    await server.ask(b"%d" % number)
                except Unavailable:
                    await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(flood())
            for _ in range(10):
                await asyncio.sleep(30)
                started = asyncio.get_running_loop().time()
                assert await server.ask(b"known") == "yes"
                assert asyncio.get_running_loop().time() - started <= server.seconds
            stop.set()
    assert 3 <= server.asked.count(b"known") <= 5


@virtual_time
async def test_a_token_that_is_revoked_loses_its_place():
    server = Server()
    async with server.reviews:
        await server.ask(b"token")
        await asyncio.sleep(reviews.POSITIVE_SECONDS)
        server.answers[b"token"] = NO
        assert await server.ask(b"token") == "no"
        assert await server.ask(b"token") == "no"
    assert server.asked == [b"token", b"token"]


@virtual_time
async def test_leaving_ends_the_reviews_that_are_running():
    server = Server(seconds=5.0)
    async with server.reviews:
        waiting = asyncio.ensure_future(server.ask(b"token"))
        await asyncio.sleep(1)
    with pytest.raises(Unavailable):
        await waiting
    assert server.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_number_of_entries_is_limited_and_the_unused_ones_are_dropped():
    now = [0.0]
    kept: Expiring[str] = Expiring(lambda: now[0], 3)
    for key in (b"a", b"b", b"c"):
        kept.put(key, "x", 10.0)
    assert kept.get(b"a") == "x"
    kept.put(b"d", "x", 10.0)
    assert len(kept) == 3
    assert [key for key in (b"a", b"b", b"c", b"d") if kept.get(key)] == [b"a", b"c", b"d"]
    now[0] = 10.0
    assert kept.get(b"a") is None
    assert kept.has(b"a")
    kept.drop(b"a")
    assert not kept.has(b"a")
