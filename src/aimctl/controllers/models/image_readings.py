"""Reads the labels of images in the background. A reconciler asks a question and is notified when there is an answer.

Contract:
    * :meth:`ImageReadings.answer` returns what is known, and :meth:`ImageReadings.read` starts an attempt if one is
      due. Neither waits. Every request that asked for the attempt is notified when it ends.
    * Questions about one image with the same credentials share their attempts: 2,000 models of one image cause one
      read. A successful attempt answers questions for :data:`FRESH_SECONDS`.
    * After a transient failure the next attempt is due after 5 s, then after twice as long each time, up to 40 s, with
      10 % jitter: a registry that is available again is noticed within a minute. An exceeded rate limit is tested after
      up to 10 min, because it lasts longer. After any other failure the next attempt is due after 10 min. A longer
      Retry-After of the registry is respected, up to an hour.
    * A registry that does not respond is tested by one attempt at a time, with the same delays. Until it responds, the
      outcome of this attempt is that of all others for the registry. The same applies to an account whose rate limit is
      exceeded, and to all anonymous attempts together, because registries count requests by account.
    * Otherwise at most :data:`READS_PER_REGISTRY` attempts for one registry run at once, and at most
      :data:`READS_AT_A_TIME` in total. The time limit of an attempt begins when it starts to run.
    * One attempt that times out does not show whether the registry or only the image is unresponsive. If a second one
      times out and no other attempt has ended meanwhile, the registry is treated as unresponsive. Images that have not
      been tried yet then take precedence over those that timed out.
    * Pull secrets are read when an attempt is due. They are not watched, so a failed question with pull secrets reads
      them every 40 s, and the registry is asked again when the credentials have changed. Only a hash of the credentials
      is kept.

Invariants:
    * Every attempt is a task of the group in :meth:`ImageReadings.run`, and notifies when it ends.
    * State that has not been used for 15 minutes is dropped when there are many questions.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias, final

import structlog

from aimctl.controllers.models.registry import RateLimited, ReadTimedOut, RegistryError, RegistryUnreachable
from aimctl.domain.images.reading import FailedReading, Reading, judge_labels, without_secret
from aimctl.domain.images.reference import InvalidImage, parse_image
from aimctl.domain.images.registry_auth import credentials_for
from aimctl.runtime.queue import exponential_delay

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from aimctl.controllers.metrics import ImageReadResult
    from aimctl.controllers.models.pull_secrets import PullSecrets
    from aimctl.controllers.models.registry import ImageRegistry
    from aimctl.domain.images.reading import ImageQuestion
    from aimctl.domain.images.reference import ImageReference
    from aimctl.domain.images.registry_auth import Credentials
    from aimctl.domain.plan import ReadImage
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["ImageReader", "ImageReadings"]

FIRST_RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 40.0
"""For transient failures, and for the first attempts to read pull secrets."""

DEFINITIVE_SECONDS = 600.0
"""For failures that end only when the question or the pull secrets change."""

MAX_RETRY_AFTER_SECONDS = 3600.0
FRESH_SECONDS = 60.0

SECRETS_SECONDS = 40.0
"""How often the pull secrets of a failed question are read."""

READS_PER_REGISTRY = 4
READS_AT_A_TIME = 256
"""Each attempt has a connection, and file descriptors are limited. While more than 64 registries are unresponsive, all
attempts start later."""

_JITTER = 0.1
_KEEP_SECONDS = 900.0
_MIN_TO_TIDY = 512
"""With fewer questions nothing is dropped."""

Notify: TypeAlias = "Callable[[Request], object]"


@dataclass(slots=True)
class _Latest:
    """The latest attempt for a question, an image, an account or a registry.

    Attributes:
        outcome: its result; None before the first attempt has ended.
        failures: failed attempts since the last successful one.
        due: monotonic time of the next attempt.
        lock: held by the next attempt, unless it is for a question.
    """

    outcome: Reading | FailedReading | None = None
    failures: int = 0
    due: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Question(_Latest):
    running: bool = False
    waiting: dict[tuple[Notify, Request], None] = field(default_factory=dict)


@dataclass(slots=True)
class _Image(_Latest):
    """An image read with certain credentials.

    ``timed_out_at`` is the number of attempts that the registry had ended when the latest one timed out; -1 for never.
    """

    timed_out_at: int = -1


@dataclass(slots=True)
class _Registry(_Latest):
    """A registry. Like its accounts, it has failures only while it does not respond, or limits the rate.

    Attributes:
        accounts: by a hash of their credentials.
        ended: attempts that received a response of any kind.
        timeouts: attempts that have timed out since the latest one that ended.
    """

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_PER_REGISTRY))
    accounts: dict[str, _Latest] = field(default_factory=dict)
    ended: int = 0
    timeouts: int = 0


@final
class ImageReadings:
    """A component to be added to the manager.

    Args:
        registry: reads images.
        secrets: reads pull secrets.
        clock: for delays.
        rng: for jitter.
        count: called after each attempt with its result.
    """

    def __init__(
        self,
        registry: ImageRegistry,
        secrets: PullSecrets,
        *,
        clock: Clock,
        rng: random.Random,
        count: Callable[[ImageReadResult], None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._secrets = secrets
        self._clock = clock
        self._rng = rng
        self._count = count
        self._questions: dict[ImageQuestion, _Question] = {}
        self._images: dict[tuple[ImageReference, str], _Image] = {}
        self._registries: dict[str, _Registry] = {}
        self._slots = asyncio.Semaphore(READS_AT_A_TIME)
        self._tasks: asyncio.TaskGroup | None = None
        self._early: list[ImageQuestion] = []
        self._ended = False
        self._tidy_at = _MIN_TO_TIDY

    async def run(self) -> None:
        """Read what is asked for until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for question in self._early:
                self._start(question)
            self._early.clear()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                # Attempts that end from now on still notify, and the reconciles that follow must not start others.
                self._ended = True

    def answer(self, question: ImageQuestion) -> tuple[Reading | FailedReading | None, float | None]:
        """The outcome of the latest attempt, and the seconds until the next one is due.

        The outcome is None before the first attempt has ended and when a successful one is no longer fresh. The
        seconds are None unless an attempt has failed and the next one is not due yet.
        """
        known = self._questions.get(question)
        if known is None:
            return None, None
        remaining = known.due - self._clock.monotonic()
        if isinstance(known.outcome, FailedReading):
            return known.outcome, remaining if remaining > 0 and not known.running else None
        return known.outcome if remaining > 0 else None, None

    def read(self, question: ImageQuestion, notify: Notify, request: Request) -> None:
        """Start an attempt, unless one is running or none is due. ``notify(request)`` is called when it ends."""
        known = self._questions.get(question)
        if known is None:
            self._tidy()
            known = self._questions[question] = _Question()
        if not known.running:
            if self._ended or known.due > self._clock.monotonic():
                return
            known.running = True
            self._start(question)
        known.waiting[notify, request] = None

    def _start(self, question: ImageQuestion) -> None:
        if self._tasks is None:
            self._early.append(question)
        else:
            self._tasks.create_task(self._answer(question), name=f"read image {question.image}")

    # ---- attempts

    async def _answer(self, question: ImageQuestion) -> None:
        known = self._questions[question]
        try:
            await self._find_out(question, known)
        except Exception:  # noqa: BLE001 - an unexpected error must not end the manager
            structlog.get_logger(__name__).exception("reading an image failed", image=question.image)
            self._failed(
                known, FailedReading("RegistryUnreachable", "unexpected error; see the log of the operator")
            )
        finally:
            known.running = False
            waiting, known.waiting = known.waiting, {}
            for notify, request in waiting:
                notify(request)

    async def _find_out(self, question: ImageQuestion, known: _Question) -> None:
        forced = bool(question.rediscover) and known.outcome is None
        try:
            image = parse_image(question.image)
        except InvalidImage as error:
            self._failed(known, FailedReading("InvalidImage", str(error)), transient=False)
            return
        entries, unusable = await self._secrets.read(question.namespace, question.pull_secrets)
        latest = await self._latest(image, credentials_for(image, entries), forced=forced)
        known.outcome, known.due, known.failures = latest.outcome, latest.due, latest.failures
        if unusable is not None:
            known.outcome = without_secret(known.outcome, unusable)
        if question.pull_secrets and isinstance(known.outcome, FailedReading):
            known.due = min(known.due, self._clock.monotonic() + self._jittered(SECRETS_SECONDS))

    async def _latest(
        self, image: ImageReference, credentials: tuple[Credentials, ...], *, forced: bool
    ) -> _Image:
        """The latest attempt for an image with these credentials; a new one if it is due or ``forced``."""
        account = _fingerprint(credentials)
        latest = self._images.setdefault((image, account), _Image())
        waited = latest.lock.locked()
        async with latest.lock:
            # The attempt that this one waited for is recent enough, even if a new one is forced.
            if latest.due <= self._clock.monotonic() or (forced and not waited):
                registry = self._registries.setdefault(image.host, _Registry())
                await self._attempt(image, credentials, latest, registry, account)
        return latest

    async def _attempt(
        self,
        image: ImageReference,
        credentials: tuple[Credentials, ...],
        latest: _Image,
        registry: _Registry,
        account_key: str,
    ) -> None:
        account = registry.accounts.setdefault(account_key, _Latest())
        async with registry.slots, AsyncExitStack() as locks:
            for shared in (registry, account):
                if shared.failures:
                    await locks.enter_async_context(shared.lock)
            now = self._clock.monotonic()
            cause = next((item for item in (registry, account) if item.failures and now < item.due), None)
            if cause is None:
                cause = await self._ask(image, credentials, latest, registry, account)
            if cause is not None:
                latest.outcome, latest.due = cause.outcome, cause.due
                if latest.timed_out_at == registry.ended:
                    # Later than others: if it always came first, it could keep readable images from being read.
                    latest.due += self._jittered(FIRST_RETRY_SECONDS)

    async def _ask(
        self,
        image: ImageReference,
        credentials: tuple[Credentials, ...],
        latest: _Image,
        registry: _Registry,
        account: _Latest,
    ) -> _Latest | None:
        """Make an attempt; returns the registry or the account if it has failed as a whole."""
        ended = registry.ended
        try:
            async with self._slots:
                config = await self._registry.read(image, credentials)
        except RegistryError as error:
            self._count("unreachable" if isinstance(error, RegistryUnreachable) else "failed")
            outcome: Reading | FailedReading = FailedReading(error.reason, str(error))
            at_least = min(error.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
            limited = isinstance(error, RateLimited)
            longest = DEFINITIVE_SECONDS if limited else MAX_RETRY_SECONDS
            self._failed(latest, outcome, transient=error.transient, at_least=at_least, longest=longest)
            timed_out = isinstance(error, ReadTimedOut)
            if timed_out and registry.ended == ended != latest.timed_out_at:
                latest.timed_out_at = ended
                registry.timeouts += 1
            if error.whole_registry or (timed_out and (registry.failures or registry.timeouts > 1)):
                return self._failed(registry, outcome, at_least=at_least)
            if timed_out:
                return None
        else:
            self._count("succeeded")
            limited, at_least = False, 0.0
            outcome = judge_labels(str(image), config.digest, config.labels)
            if isinstance(outcome, FailedReading):
                self._failed(latest, outcome, transient=False)
            else:
                latest.outcome, latest.failures = outcome, 0
                latest.due = self._clock.monotonic() + FRESH_SECONDS
        registry.failures = registry.timeouts = 0
        registry.ended += 1
        if limited:
            return self._failed(account, outcome, at_least=at_least, longest=DEFINITIVE_SECONDS)
        account.failures = 0
        return None

    def _failed(
        self,
        latest: _Latest,
        outcome: Reading | FailedReading,
        *,
        transient: bool = True,
        at_least: float = 0.0,
        longest: float = MAX_RETRY_SECONDS,
    ) -> _Latest:
        """Note a failure; the next attempt is due after ``at_least`` seconds or later."""
        delay = self._jittered(
            exponential_delay(latest.failures, FIRST_RETRY_SECONDS, longest)
            if transient
            else DEFINITIVE_SECONDS
        )
        latest.outcome, latest.failures = outcome, latest.failures + 1
        latest.due = self._clock.monotonic() + max(delay, at_least)
        return latest

    def _jittered(self, seconds: float) -> float:
        return seconds * self._rng.uniform(1 - _JITTER, 1 + _JITTER)

    def _tidy(self) -> None:
        """Drop state that has not been used for long, if there is much of it."""
        if len(self._questions) < self._tidy_at:
            return
        limit = self._clock.monotonic() - _KEEP_SECONDS
        for question in [
            q for q, known in self._questions.items() if not known.running and known.due <= limit
        ]:
            del self._questions[question]
        for key in [k for k, item in self._images.items() if not item.lock.locked() and item.due <= limit]:
            del self._images[key]
        in_use = {image.host for (image, _), item in self._images.items() if item.lock.locked()}
        for host, registry in list(self._registries.items()):
            shared = (registry, *registry.accounts.values())
            if host not in in_use and not any(item.failures and item.due > limit for item in shared):
                del self._registries[host]
        self._tidy_at = max(_MIN_TO_TIDY, 2 * len(self._questions))


@final
class ImageReader:
    """The background reader of one reconciler; several share the same :class:`ImageReadings`.

    Args:
        readings: where images are read.
        notify: enqueues a request for the reconciler, such as ``Channel.send``.
    """

    def __init__(self, readings: ImageReadings, notify: Notify) -> None:
        self._readings = readings
        self._notify = notify

    def read(self, request: Request, wanted: ReadImage) -> None:
        """See :meth:`ImageReadings.read`."""
        self._readings.read(wanted.question, self._notify, request)

    def forget(self, request: Request) -> None:
        """Do nothing: answers belong to questions, which other requests may share."""


def _fingerprint(credentials: tuple[Credentials, ...]) -> str:
    """A hash that differs for different credentials and does not reveal them."""
    hashed = sha256()
    for item in credentials:
        for text in (item.username, item.password, item.identity_token, item.registry_token):
            hashed.update(f"{len(text)}:{text};".encode(errors="surrogatepass"))
    return hashed.hexdigest()
