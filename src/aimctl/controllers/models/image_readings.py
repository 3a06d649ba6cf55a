"""Readings of images: who wants one, when it is made, and what came of it.

A reconciler never waits for a registry: it asks :meth:`ImageReadings.ask`, gets what is known by now, and its request
comes back when there is more. So a registry that is slow holds up nobody but those who ask for its images.

Contract:
    * One attempt for each image and set of credentials in each pause, however many ask: two thousand models of one
      image cost one read. What was read is good for a minute, for those who ask a little later.
    * Pauses grow from 5 s to 10 min (by chance up to a tenth more or less) while a failure may pass; others are tried
      again after 10 min. A registry's own Retry-After counts when it is longer.
    * While a whole registry does not answer, one read at a time tries it, once in each pause; everyone else gets that
      one's answer. So it is with an account that a registry has had enough of, or with all who come without one:
      registries count for each apart. At most 4 reads of one registry at a time otherwise, and 256 of all: who
      waits for a place has not begun, so that nobody's time runs out for others' sake.
    * A read that runs out of time says nothing about its registry: perhaps this image alone hangs. A second one does,
      if the registry has ended no read since the first began; whoever has not tried then goes first in each pause.
    * Pull secrets are read when an attempt may be made, and once a minute while those that were given are of no use,
      even if they hold nothing: other credentials need not wait out the pause of the old ones. Nothing of them is kept
      but a hash.

Invariants:
    * Every read is a task of the group in :meth:`ImageReadings.run`. What ends one is an answer to whoever asked.
    * What is held about a question goes when nobody has asked it for long.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias, final

import structlog

from aimctl.controllers.models.registry import RateLimited, ReadTimedOut, RegistryError, RegistryUnreachable
from aimctl.domain.images.reading import FailedReading, Reading, judge_labels
from aimctl.domain.images.reference import InvalidImage, parse_image
from aimctl.domain.images.registry_auth import credentials_for

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from aimctl.controllers.models.pull_secrets import PullSecrets
    from aimctl.controllers.models.registry import ImageRegistry
    from aimctl.domain.images.reading import ImageQuestion
    from aimctl.domain.images.reference import ImageReference
    from aimctl.domain.images.registry_auth import Credentials
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["ImageReadings"]

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
FRESH_SECONDS = 60.0
"""How long what was read answers the same question again."""

SECRETS_SECONDS = 60.0
"""How often pull secrets are looked at in a pause that a change of one would end: they are not watched."""

READS_PER_REGISTRY = 4
READS_AT_A_TIME = 256
"""Each holds a connection, and files run out. While more than 64 registries hang at once, all reads begin later."""

_JITTER = 0.1
_FORGET_AFTER_SECONDS = 900.0
_FEW = 512
"""Below this many, nothing that is held is looked through for what can go."""

Outcome: TypeAlias = "Reading | FailedReading"
Waiter: TypeAlias = "tuple[Callable[[Request], None], Request]"


@dataclass(slots=True)
class _State:
    """What is known about a question, or about an image read with certain credentials."""

    outcome: Outcome | None = None
    failures: int = 0
    due: float = 0.0
    """When the next attempt may be made, on the monotonic clock."""


@dataclass(slots=True)
class _Question(_State):
    running: bool = False
    waiters: dict[Waiter, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Attempt(_State):
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    late: int = -1
    """How many reads its registry had ended when this one ran out of time."""


@dataclass(slots=True)
class _Gate:
    """While ``failures`` is above zero it is closed until ``due``, and then tried by one read at a time."""

    probe: asyncio.Lock = field(default_factory=asyncio.Lock)
    failures: int = 0
    due: float = 0.0
    outcome: FailedReading | None = None

    def close(self, outcome: FailedReading, due: float) -> None:
        """Until then this is everybody's answer."""
        self.failures += 1
        self.due, self.outcome = due, outcome


@dataclass(slots=True)
class _Host(_Gate):
    """A registry, and in it a gate for each set of credentials.

    ``users`` are the reads that hold it, under way or waiting: as long as there is one, there must be no second of it.
    """

    users: int = 0
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_PER_REGISTRY))
    accounts: dict[str, _Gate] = field(default_factory=dict)
    ended: int = 0
    """Reads that ended with an answer of whatever kind."""
    late: int = 0
    """Attempts that have run out of time since the last of them."""


@final
class ImageReadings:
    """See the module.

    Args:
        registry: reads images.
        secrets: reads pull secrets.
        clock: time.
        rng: for jitter.
        count: told of each attempt whether the registry gave the image.
    """

    def __init__(
        self,
        registry: ImageRegistry,
        secrets: PullSecrets,
        *,
        clock: Clock,
        rng: random.Random,
        count: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._secrets = secrets
        self._clock = clock
        self._rng = rng
        self._count = count
        self._questions: dict[ImageQuestion, _Question] = {}
        self._attempts: dict[tuple[ImageReference, str], _Attempt] = {}
        self._hosts: dict[str, _Host] = {}
        self._places = asyncio.Semaphore(READS_AT_A_TIME)
        self._tasks: asyncio.TaskGroup | None = None
        self._early: list[ImageQuestion] = []
        self._ended = False
        self._tidy_at = _FEW

    # ---- life cycle

    async def run(self) -> None:
        """Read what is asked for until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for question in self._early:
                self._start(question)
            self._early.clear()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                # What ends now wakes those who asked; their next questions find nobody to answer them.
                self._ended = True

    # ---- asking

    def ask(
        self, question: ImageQuestion, wake: Callable[[Request], None], request: Request
    ) -> tuple[Outcome | None, float | None]:
        """What is known by now, and in how many seconds to ask again.

        The seconds are None after a success, and while a read is under way: ``wake(request)`` is called at its end.
        """
        known = self._questions.get(question)
        if known is None:
            self._tidy()
            known = self._questions[question] = _Question()
        now = self._clock.monotonic()
        if known.running:
            known.waiters[wake, request] = None
        elif self._ended:
            return known.outcome, None
        elif known.due <= now:
            known.running = True
            known.waiters[wake, request] = None
            self._start(question)
        elif isinstance(known.outcome, FailedReading):
            return known.outcome, known.due - now
        return known.outcome, None

    def _start(self, question: ImageQuestion) -> None:
        if self._tasks is None:
            self._early.append(question)
        else:
            self._tasks.create_task(self._answer(question), name=f"read image {question.image}")

    async def _answer(self, question: ImageQuestion) -> None:
        known = self._questions[question]
        try:
            try:
                forced = bool(question.rediscover) and known.outcome is None
                await self._find_out(question, known, forced=forced)
            except Exception:  # noqa: BLE001 - a mistake in our code must not end the manager
                structlog.get_logger(__name__).exception("reading an image failed", image=question.image)
                self._failed(
                    known,
                    FailedReading("RegistryUnreachable", "reading failed by a mistake; the log has it"),
                    transient=True,
                )
        finally:
            known.running = False
            waiters, known.waiters = known.waiters, {}
            for wake, request in waiters:
                wake(request)

    # ---- answering

    async def _find_out(self, question: ImageQuestion, known: _Question, *, forced: bool) -> None:
        try:
            image = parse_image(question.image)
        except InvalidImage as error:
            self._failed(known, FailedReading("InvalidImage", str(error)), transient=False)
            return
        entries = await self._secrets.read(question.namespace, question.pull_secrets)
        if isinstance(entries, FailedReading):
            self._failed(known, entries, transient=True)
            return
        attempt = await self._attempt(image, credentials_for(image, entries), forced=forced)
        known.outcome, known.due, known.failures = attempt.outcome, attempt.due, attempt.failures
        if question.pull_secrets and isinstance(known.outcome, FailedReading):
            known.due = min(known.due, self._clock.monotonic() + self._spread(SECRETS_SECONDS))

    async def _attempt(
        self, image: ImageReference, credentials: tuple[Credentials, ...], *, forced: bool
    ) -> _Attempt:
        """The latest attempt as these credentials: one in this pause, if there was one, else a new one."""
        key = (image, _fingerprint(credentials))
        attempt = self._attempts.get(key)
        if attempt is None:
            attempt = self._attempts[key] = _Attempt()
        waited = attempt.turn.locked()
        async with attempt.turn:
            # Who waited for somebody else's attempt takes its answer, forced or not.
            if attempt.due <= self._clock.monotonic() or (forced and not waited):
                host = self._hosts.setdefault(image.host, _Host())
                account = host.accounts.setdefault(key[1], _Gate())
                host.users += 1
                try:
                    await self._read(host, account, image, credentials, attempt)
                finally:
                    host.users -= 1
        return attempt

    async def _read(
        self,
        host: _Host,
        account: _Gate,
        image: ImageReference,
        credentials: tuple[Credentials, ...],
        attempt: _Attempt,
    ) -> None:
        async with host.slots, AsyncExitStack() as turns:
            closed = [gate for gate in (host, account) if gate.failures]
            for gate in closed:
                await turns.enter_async_context(gate.probe)
            for gate in closed:
                if gate.failures and gate.outcome is not None and self._clock.monotonic() < gate.due:
                    self._closed(host, gate, attempt)
                    return
            await self._read_from(host, account, image, credentials, attempt)

    async def _read_from(
        self,
        host: _Host,
        account: _Gate,
        image: ImageReference,
        credentials: tuple[Credentials, ...],
        attempt: _Attempt,
    ) -> None:
        ended = host.ended
        try:
            async with self._places:
                config = await self._registry.read(image, credentials)
        except RegistryError as error:
            self._count(False)
            failed = FailedReading(error.reason, str(error))
            retry_after = 0.0
            if isinstance(error, RegistryUnreachable):
                retry_after = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS)
            self._failed(attempt, failed, transient=error.transient, at_least=retry_after)
            timed_out = isinstance(error, ReadTimedOut)
            if timed_out and host.ended == ended != attempt.late:
                attempt.late = ended
                host.late += 1
            whole = isinstance(error, RegistryUnreachable) and error.whole_registry
            if whole or (timed_out and (host.failures or host.late > 1)):
                self._close(host, host, attempt, failed, retry_after)
                return
            if timed_out:
                return
            if isinstance(error, RateLimited):
                self._close(host, account, attempt, failed, retry_after)
            else:
                account.failures = 0
        else:
            account.failures = 0
            self._count(True)
            outcome = judge_labels(str(image), config.digest, config.labels)
            if isinstance(outcome, FailedReading):
                self._failed(attempt, outcome, transient=False)
            else:
                attempt.outcome, attempt.failures = outcome, 0
                attempt.due = self._clock.monotonic() + FRESH_SECONDS
        host.failures = host.late = 0
        host.ended += 1

    def _close(
        self, host: _Host, gate: _Gate, attempt: _Attempt, failed: FailedReading, at_least: float
    ) -> None:
        pause = max(self._pause(gate.failures + 1), at_least)
        gate.close(failed, self._clock.monotonic() + pause)
        self._closed(host, gate, attempt)

    def _closed(self, host: _Host, gate: _Gate, attempt: _Attempt) -> None:
        """Answer an attempt by what is known of its registry or account, until the next one may be made there."""
        attempt.outcome, attempt.due = gate.outcome, gate.due
        if attempt.late == host.ended:
            # It has had its turn. First in each pause it could keep out for ever an image that can be read.
            attempt.due += self._spread(FIRST_PAUSE_SECONDS)

    def _failed(
        self, state: _State, outcome: FailedReading, *, transient: bool, at_least: float = 0.0
    ) -> None:
        state.outcome = outcome
        state.failures += 1
        pause = self._pause(state.failures) if transient else self._spread(LONGEST_PAUSE_SECONDS)
        state.due = self._clock.monotonic() + max(pause, at_least)

    def _pause(self, failures: int) -> float:
        return self._spread(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10)))

    def _spread(self, seconds: float) -> float:
        return seconds * self._rng.uniform(1 - _JITTER, 1 + _JITTER)

    # ---- forgetting

    def _tidy(self) -> None:
        """Let go of what nobody asks for any more, now and then."""
        if len(self._questions) < self._tidy_at:
            return
        limit = self._clock.monotonic() - _FORGET_AFTER_SECONDS
        self._questions = {
            question: known
            for question, known in self._questions.items()
            if known.running or known.due > limit
        }
        self._attempts = {
            key: attempt
            for key, attempt in self._attempts.items()
            if attempt.turn.locked() or attempt.due > limit
        }
        self._hosts = {
            name: host
            for name, host in self._hosts.items()
            if host.users
            or any(gate.failures and gate.due > limit for gate in (host, *host.accounts.values()))
        }
        self._tidy_at = max(_FEW, 2 * len(self._questions))


def _fingerprint(credentials: tuple[Credentials, ...]) -> str:
    """Tells sets of credentials apart, and shows nothing of them."""
    hashed = sha256()
    for item in credentials:
        for text in (item.username, item.password, item.identity_token, item.registry_token):
            hashed.update(f"{len(text)}:{text};".encode(errors="surrogatepass"))
    return hashed.hexdigest()
