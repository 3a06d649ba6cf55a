"""Reads the labels of images in the background. A reconciler asks a question and is notified when there is an answer.

Contract:
    * :meth:`ImageReadings.answer` returns what is known, and :meth:`ImageReadings.read` starts an attempt if one is
      due. Neither waits. Every request that asked for the attempt is notified when it ends.
    * Equal questions share an attempt, and so do questions about the same image with the same credentials
      (:mod:`aimctl.controllers.models.image_attempts`): 2,000 models of one image cause one read.
    * Pull secrets are read when an attempt is due. They are not watched, so a failed question with pull secrets reads
      them once a minute, and the registry is asked again when the credentials have changed.

Invariants:
    * Every attempt is a task of the group in :meth:`ImageReadings.run`, and notifies when it ends.
    * State that has not been used for 15 minutes is dropped when there are many questions.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, final

import structlog

from aimctl.controllers.models.image_attempts import ImageAttempts, Latest, Retries
from aimctl.domain.images.reading import FailedReading
from aimctl.domain.images.reference import InvalidImage, parse_image
from aimctl.domain.images.registry_auth import credentials_for

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from aimctl.controllers.models.pull_secrets import PullSecrets
    from aimctl.controllers.models.registry import ImageRegistry
    from aimctl.domain.images.reading import ImageQuestion, Reading
    from aimctl.domain.plan import ReadImage
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["ImageReader", "ImageReadings"]

SECRETS_SECONDS = 60.0
"""How often the pull secrets of a failed question are read."""

_KEEP_SECONDS = 900.0
_MIN_TO_TIDY = 512
"""With fewer questions nothing is dropped."""

Notify: TypeAlias = "Callable[[Request], object]"


@dataclass(slots=True)
class _Question(Latest):
    running: bool = False
    waiting: dict[tuple[Notify, Request], None] = field(default_factory=dict)


@final
class ImageReadings:
    """A component to be added to the manager.

    Args:
        registry: reads images.
        secrets: reads pull secrets.
        clock: for delays.
        rng: for jitter.
        count: called after each attempt with whether the registry returned the image.
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
        self._secrets = secrets
        self._clock = clock
        self._retries = Retries(clock, rng)
        self._attempts = ImageAttempts(registry, clock, self._retries, count)
        self._questions: dict[ImageQuestion, _Question] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._early: list[ImageQuestion] = []
        self._ended = False
        self._tidy_at = _MIN_TO_TIDY

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
                # Attempts that end from now on still notify, and the reconciles that follow must not start others.
                self._ended = True

    # ---- questions

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

    async def _answer(self, question: ImageQuestion) -> None:
        known = self._questions[question]
        try:
            await self._find_out(question, known)
        except Exception:  # noqa: BLE001 - an unexpected error must not end the manager
            structlog.get_logger(__name__).exception("reading an image failed", image=question.image)
            self._retries.failed(
                known,
                FailedReading("RegistryUnreachable", "unexpected error; see the log of the operator"),
                transient=True,
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
            self._retries.failed(known, FailedReading("InvalidImage", str(error)), transient=False)
            return
        entries = await self._secrets.read(question.namespace, question.pull_secrets)
        if isinstance(entries, FailedReading):
            self._retries.failed(known, entries, transient=True)
            return
        latest = await self._attempts.latest(image, credentials_for(image, entries), forced=forced)
        known.outcome, known.due, known.failures = latest.outcome, latest.due, latest.failures
        if question.pull_secrets and isinstance(known.outcome, FailedReading):
            known.due = min(known.due, self._clock.monotonic() + self._retries.jittered(SECRETS_SECONDS))

    def _tidy(self) -> None:
        """Drop state that has not been used for long, if there is much of it."""
        if len(self._questions) < self._tidy_at:
            return
        limit = self._clock.monotonic() - _KEEP_SECONDS
        self._questions = {
            question: known
            for question, known in self._questions.items()
            if known.running or known.due > limit
        }
        self._attempts.tidy(limit)
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
