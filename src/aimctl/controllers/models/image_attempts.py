"""Attempts to read images, and how often a registry receives them.

Contract:
    * Attempts for one image with the same credentials are made one after the other, and shared. A successful attempt is
      valid for :data:`FRESH_SECONDS`.
    * After a transient failure the next attempt is due after 5 s, then after twice as long each time, up to 10 min,
      with 10 % jitter. After any other failure it is due after 10 min. A longer Retry-After of the registry is
      respected, up to an hour.
    * A registry that does not respond is tested by one attempt at a time, with the same delays. Until it responds, the
      outcome of this attempt is that of all others for the registry. The same applies to an account whose rate limit is
      exceeded, and to all anonymous attempts together, because registries count requests by account.
    * Otherwise at most :data:`READS_PER_REGISTRY` attempts for one registry run at once, and at most
      :data:`READS_AT_A_TIME` in total. The time limit of an attempt begins when it starts to run.
    * One attempt that times out does not show whether the registry or only the image is unresponsive. If a second one
      times out and no other attempt has ended meanwhile, the registry is treated as unresponsive. Images that have not
      been tried yet then take precedence over those that timed out.
    * Only a hash of the credentials is kept.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, final

from aimctl.controllers.models.registry import RateLimited, ReadTimedOut, RegistryError
from aimctl.domain.images.reading import FailedReading, Reading, judge_labels

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from aimctl.controllers.models.registry import ImageRegistry
    from aimctl.domain.images.reference import ImageReference
    from aimctl.domain.images.registry_auth import Credentials
    from aimctl.runtime.clock import Clock

__all__ = ["FRESH_SECONDS", "READS_AT_A_TIME", "READS_PER_REGISTRY", "ImageAttempts", "Latest", "Retries"]

FIRST_RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 600.0
MAX_RETRY_AFTER_SECONDS = 3600.0
FRESH_SECONDS = 60.0

READS_PER_REGISTRY = 4
READS_AT_A_TIME = 256
"""Each attempt has a connection, and file descriptors are limited. While more than 64 registries are unresponsive, all
attempts start later."""

_JITTER = 0.1


@dataclass(slots=True)
class Latest:
    """The latest attempt.

    Attributes:
        outcome: its result; None before the first attempt has ended.
        failures: failed attempts since the last successful one.
        due: monotonic time of the next attempt.
    """

    outcome: Reading | FailedReading | None = None
    failures: int = 0
    due: float = 0.0


@final
class Retries:
    """Decides when the next attempt is due.

    Args:
        clock: monotonic time.
        rng: for jitter.
    """

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng

    def failed(
        self, latest: Latest, outcome: FailedReading, *, transient: bool, at_least: float = 0.0
    ) -> None:
        """Note a failed attempt; the next one is due after ``at_least`` seconds or later."""
        latest.outcome = outcome
        latest.failures += 1
        delay = self.delay(latest.failures) if transient else self.jittered(MAX_RETRY_SECONDS)
        latest.due = self._clock.monotonic() + max(delay, at_least)

    def delay(self, failures: int) -> float:
        """Seconds until the next attempt after so many transient failures."""
        return self.jittered(min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10)))

    def jittered(self, seconds: float) -> float:
        """The seconds with jitter."""
        return seconds * self._rng.uniform(1 - _JITTER, 1 + _JITTER)


@dataclass(slots=True)
class _Attempts(Latest):
    """The attempts for one image with certain credentials.

    ``timed_out_at`` is the number of attempts that the registry had ended when the latest one timed out; -1 for never.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    timed_out_at: int = -1


@dataclass(slots=True)
class _Breaker:
    """A circuit breaker. After failures it is open until ``due``; then one probe at a time is let through."""

    probe: asyncio.Lock = field(default_factory=asyncio.Lock)
    failures: int = 0
    due: float = 0.0
    outcome: FailedReading | None = None

    def open(self, outcome: FailedReading, due: float) -> None:
        """Answer with this outcome until then."""
        self.failures += 1
        self.due, self.outcome = due, outcome


@dataclass(slots=True)
class _Registry(_Breaker):
    """A registry, with a breaker for each set of credentials.

    Attributes:
        users: attempts that hold a reference. While there is one, the state must not be dropped and created anew.
        ended: attempts that received a response of any kind.
        timeouts: attempts that have timed out since the latest one that ended.
    """

    users: int = 0
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_PER_REGISTRY))
    accounts: dict[str, _Breaker] = field(default_factory=dict)
    ended: int = 0
    timeouts: int = 0


@final
class ImageAttempts:
    """Attempts to read images.

    Args:
        registry: reads images.
        clock: for delays.
        retries: when attempts are due.
        count: called after each attempt with whether the registry returned the image.
    """

    def __init__(
        self, registry: ImageRegistry, clock: Clock, retries: Retries, count: Callable[[bool], None]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._retries = retries
        self._count = count
        self._attempts: dict[tuple[ImageReference, str], _Attempts] = {}
        self._registries: dict[str, _Registry] = {}
        self._slots = asyncio.Semaphore(READS_AT_A_TIME)

    async def latest(
        self, image: ImageReference, credentials: tuple[Credentials, ...], *, forced: bool
    ) -> Latest:
        """The latest attempt for an image with these credentials; a new one if one is due.

        ``forced`` makes a new one in any case, unless another caller is making one already.
        """
        account = _fingerprint(credentials)
        attempts = self._attempts.setdefault((image, account), _Attempts())
        waited = attempts.lock.locked()
        async with attempts.lock:
            # The attempt that this one waited for is recent enough, even if a new one is forced.
            if attempts.due <= self._clock.monotonic() or (forced and not waited):
                registry = self._registries.setdefault(image.host, _Registry())
                registry.users += 1
                try:
                    await self._try(registry, account, image, credentials, attempts)
                finally:
                    registry.users -= 1
        return attempts

    def tidy(self, limit: float) -> None:
        """Drop what has not been used since this monotonic time."""
        self._attempts = {
            key: attempts
            for key, attempts in self._attempts.items()
            if attempts.lock.locked() or attempts.due > limit
        }
        self._registries = {
            host: registry
            for host, registry in self._registries.items()
            if registry.users
            or any(item.failures and item.due > limit for item in (registry, *registry.accounts.values()))
        }

    async def _try(
        self,
        registry: _Registry,
        account: str,
        image: ImageReference,
        credentials: tuple[Credentials, ...],
        attempts: _Attempts,
    ) -> None:
        """Make an attempt, unless a breaker is open."""
        breaker = registry.accounts.setdefault(account, _Breaker())
        async with registry.slots, AsyncExitStack() as probes:
            tripped = [item for item in (registry, breaker) if item.failures]
            for item in tripped:
                await probes.enter_async_context(item.probe)
            for item in tripped:
                if item.failures and item.outcome is not None and self._clock.monotonic() < item.due:
                    self._share(item, registry, attempts)
                    return
            await self._ask(registry, breaker, image, credentials, attempts)

    async def _ask(
        self,
        registry: _Registry,
        account: _Breaker,
        image: ImageReference,
        credentials: tuple[Credentials, ...],
        attempts: _Attempts,
    ) -> None:
        ended = registry.ended
        try:
            async with self._slots:
                config = await self._registry.read(image, credentials)
        except RegistryError as error:
            self._count(False)
            if not self._failed(error, registry, account, attempts, ended):
                return
        else:
            self._count(True)
            account.failures = 0
            outcome = judge_labels(str(image), config.digest, config.labels)
            if isinstance(outcome, FailedReading):
                self._retries.failed(attempts, outcome, transient=False)
            else:
                attempts.outcome, attempts.failures = outcome, 0
                attempts.due = self._clock.monotonic() + FRESH_SECONDS
        registry.failures = registry.timeouts = 0
        registry.ended += 1

    # ---- failures

    def _failed(
        self, error: RegistryError, registry: _Registry, account: _Breaker, attempts: _Attempts, ended: int
    ) -> bool:
        """Note a failure and open breakers; returns whether the registry has responded.

        ``ended`` is ``registry.ended`` from before the attempt.
        """
        failed = FailedReading(error.reason, str(error))
        retry_after = min(error.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
        self._retries.failed(attempts, failed, transient=error.transient, at_least=retry_after)
        if isinstance(error, ReadTimedOut):
            if registry.ended == ended != attempts.timed_out_at:
                attempts.timed_out_at = ended
                registry.timeouts += 1
            if registry.failures or registry.timeouts > 1:
                self._open(registry, registry, attempts, failed, retry_after)
            return False
        if error.whole_registry:
            self._open(registry, registry, attempts, failed, retry_after)
            return False
        if isinstance(error, RateLimited):
            self._open(account, registry, attempts, failed, retry_after)
        else:
            account.failures = 0
        return True

    def _open(
        self,
        breaker: _Breaker,
        registry: _Registry,
        attempts: _Attempts,
        failed: FailedReading,
        retry_after: float,
    ) -> None:
        delay = max(self._retries.delay(breaker.failures + 1), retry_after)
        breaker.open(failed, self._clock.monotonic() + delay)
        self._share(breaker, registry, attempts)

    def _share(self, breaker: _Breaker, registry: _Registry, attempts: _Attempts) -> None:
        """Take the outcome of the breaker instead of asking the registry."""
        attempts.outcome, attempts.due = breaker.outcome, breaker.due
        if attempts.timed_out_at == registry.ended:
            # Due later than the others: always the first probe, it could keep readable images from being read.
            attempts.due += self._retries.jittered(FIRST_RETRY_SECONDS)


def _fingerprint(credentials: tuple[Credentials, ...]) -> str:
    """A hash that differs for different credentials and does not reveal them."""
    hashed = sha256()
    for item in credentials:
        for text in (item.username, item.password, item.identity_token, item.registry_token):
            hashed.update(f"{len(text)}:{text};".encode(errors="surrogatepass"))
    return hashed.hexdigest()
