"""Readings of images: how often a registry is asked, by how many at a time, and who hears of it. In virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from aimctl.controllers.models.image_readings import (
    FIRST_PAUSE_SECONDS,
    FRESH_SECONDS,
    LONGEST_PAUSE_SECONDS,
    READS_AT_A_TIME,
    READS_PER_REGISTRY,
    ImageReadings,
)
from aimctl.controllers.models.registry import (
    AccessDenied,
    ImageConfig,
    ImageNotFound,
    RateLimited,
    ReadTimedOut,
    RegistryUnreachable,
)
from aimctl.domain.images.reading import FailedReading, ImageQuestion, Reading
from aimctl.domain.images.registry_auth import Credentials, PullEntry
from aimctl.runtime.controller import Request
from aimctl.testing.virtualtime import virtual_clock, virtual_time

DIGEST = "sha256:" + "0" * 64
LABELS = {"com.amd.aim.model.canonicalName": "org/model"}
LATE = ReadTimedOut("ghcr.io: no complete answer within 30 s")
DOWN = RegistryUnreachable("ghcr.io: connection refused", whole_registry=True)


class Registry:
    """Says what ``says`` is, after ``seconds``, or after half a minute that the time is up; counts."""

    def __init__(self, says=None, seconds: float = 1.0) -> None:
        self.says = says
        self.seconds = seconds
        self.calls: list[tuple[float, str, tuple]] = []
        self.busy: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def read(self, image, credentials) -> ImageConfig:
        loop = asyncio.get_running_loop()
        self.calls.append((loop.time(), str(image), tuple(credentials)))
        self.busy[image.host] += 1
        self.most[image.host] = max(self.most[image.host], self.busy[image.host])
        says = self.says(image) if callable(self.says) else self.says
        try:
            await asyncio.sleep(30 if says is LATE else self.seconds)
        finally:
            self.busy[image.host] -= 1
        if isinstance(says, Exception):
            raise says
        return says or ImageConfig(DIGEST, LABELS)

    def gaps(self) -> list[float]:
        times = [at for at, *_ in self.calls]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


class Secrets:
    """Pull secrets by name: a password for ghcr.io, or entries; a missing one is a failure."""

    def __init__(self, **held) -> None:
        self.held = held
        self.reads = 0

    async def read(self, namespace, names):
        self.reads += 1
        await asyncio.sleep(0.01)
        entries: list[PullEntry] = []
        for name in names:
            held = self.held.get(name)
            if held is None:
                return FailedReading("PullSecretNotFound", f"{namespace}/{name} is missing")
            entries += [PullEntry("ghcr.io", "", Credentials("me", held))] if isinstance(held, str) else held
        return tuple(entries)


class Asker:
    """A model that asks again when it is told to, as the reconciler does."""

    def __init__(self, readings: ImageReadings, question: ImageQuestion, name: str = "m") -> None:
        self._readings = readings
        self._question = question
        self._request = Request("team", name)
        self.outcomes: list[object] = []
        self.looks = 0
        self._timer: asyncio.TimerHandle | None = None
        self.gone = False
        self.look(self._request)

    def look(self, _: Request) -> None:
        if self.gone:
            return
        self.looks += 1
        if self._timer:
            self._timer.cancel()
        outcome, seconds = self._readings.ask(self._question, self.look, self._request)
        if outcome is not None and (not self.outcomes or self.outcomes[-1] != outcome):
            self.outcomes.append(outcome)
        if isinstance(outcome, Reading):
            return
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.look, self._request)

    @property
    def outcome(self):
        return self.outcomes[-1] if self.outcomes else None


@asynccontextmanager
async def running(registry, secrets=None):
    readings = ImageReadings(registry, secrets or Secrets(), clock=virtual_clock(), rng=random.Random(1))
    task = asyncio.get_running_loop().create_task(readings.run())
    try:
        yield readings
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception():
            raise task.exception()


def question(image: str = "ghcr.io/x:1", **more) -> ImageQuestion:
    return ImageQuestion(image, **more)


@virtual_time
async def test_asking_does_not_wait_and_the_answer_wakes_whoever_asked():
    registry = Registry()
    async with running(registry) as readings:
        asker = Asker(readings, question())
        assert asker.outcome is None
        await asyncio.sleep(0.5)
        assert (asker.looks, asker.outcome) == (1, None)
        await asyncio.sleep(1)
        assert asker.looks == 2
        assert isinstance(asker.outcome, Reading)
        assert asker.outcome.metadata.canonical_name == "org/model"


@virtual_time
async def test_a_question_asked_before_it_runs_is_answered_then():
    registry = Registry()
    readings = ImageReadings(registry, Secrets(), clock=virtual_clock(), rng=random.Random(1))
    asker = Asker(readings, question())
    await asyncio.sleep(1)
    task = asyncio.get_running_loop().create_task(readings.run())
    await asyncio.sleep(2)
    assert isinstance(asker.outcome, Reading)
    task.cancel()
    await asyncio.wait([task])


@virtual_time
async def test_two_thousand_models_of_one_image_cost_one_read():
    registry = Registry()
    async with running(registry) as readings:
        askers = [Asker(readings, question(), f"m{number}") for number in range(2000)]
        await asyncio.sleep(2)
        assert all(isinstance(asker.outcome, Reading) for asker in askers)
        late = Asker(readings, question(), "late")
        assert isinstance(late.outcome, Reading)
        assert len(registry.calls) == 1
        await asyncio.sleep(FRESH_SECONDS)
        later = Asker(readings, question(), "later")
        await asyncio.sleep(2)
        assert isinstance(later.outcome, Reading)
        assert len(registry.calls) == 2


@pytest.mark.parametrize("whole", [False, True], ids=["one image", "whole registry"])
@virtual_time
async def test_two_thousand_models_of_one_image_retry_as_one_with_growing_pauses(whole):
    registry = Registry(RegistryUnreachable("500", whole_registry=whole))
    async with running(registry) as readings:
        askers = [Asker(readings, question(), f"m{number}") for number in range(2000)]
        await asyncio.sleep(4000)
        gaps = registry.gaps()
        assert 10 <= len(registry.calls) <= 14
        for gap, pause in zip(gaps, (5, 10, 20, 40, 80, 160, 320), strict=False):
            assert pause * 0.9 <= gap - 1 <= pause * 1.1 + 1
        assert max(gaps) <= LONGEST_PAUSE_SECONDS * 1.1 + 2
        registry.says = None
        await asyncio.sleep(LONGEST_PAUSE_SECONDS * 1.2)
        assert all(isinstance(asker.outcome, Reading) for asker in askers)


@pytest.mark.parametrize("error", [ImageNotFound("404"), AccessDenied("403")])
@virtual_time
async def test_what_does_not_pass_by_itself_is_asked_every_ten_minutes(error):
    registry = Registry(error)
    async with running(registry) as readings:
        asker = Asker(readings, question())
        await asyncio.sleep(3700)
        assert 6 <= len(registry.calls) <= 7
        assert all(540 <= gap <= 665 for gap in registry.gaps())
        assert len(asker.outcomes) == 1


@virtual_time
async def test_labels_of_no_use_are_asked_for_again_every_ten_minutes():
    registry = Registry(ImageConfig(DIGEST, {"com.amd.aim.model.recommendedDeployments": "nonsense"}))
    async with running(registry) as readings:
        asker = Asker(readings, question())
        await asyncio.sleep(1300)
        assert asker.outcome.reason == "MalformedMetadata"
        assert len(registry.calls) in (2, 3)


@virtual_time
async def test_a_rate_limit_is_kept_for_all_images_of_the_registry_and_for_no_other():
    registry = Registry(
        lambda image: RateLimited("429", retry_after=300) if image.host == "ghcr.io" else None
    )
    async with running(registry) as readings:
        askers = [Asker(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(50)]
        other = Asker(readings, question("quay.io/y:1"), "other")
        await asyncio.sleep(290)
        asked = Counter(image.partition("/")[0] for _, image, _ in registry.calls)
        assert asked["ghcr.io"] <= READS_PER_REGISTRY
        assert asked["quay.io"] == 1
        assert isinstance(other.outcome, Reading)
        assert all(asker.outcome == FailedReading("RegistryUnreachable", "429") for asker in askers)


@pytest.mark.parametrize("retry_after", [None, 3600.0])
@virtual_time
async def test_who_comes_with_an_account_does_not_pay_for_those_who_come_without(retry_after):
    class Counting(Registry):
        async def read(self, image, credentials):
            self.says = None if credentials else RateLimited("429", retry_after=retry_after)
            return await super().read(image, credentials)

    registry, secrets = Counting(seconds=0.1), Secrets(paid="x")
    async with running(registry, secrets) as readings:
        for number in range(100):
            Asker(readings, question(f"ghcr.io/free{number}:1"), f"free{number}")
        await asyncio.sleep(700)
        for number in range(5):
            paid = Asker(
                readings,
                question(f"ghcr.io/paid{number}:1", namespace="team", pull_secrets=("paid",)),
                "paid",
            )
            await asyncio.sleep(10)
            assert isinstance(paid.outcome, Reading)
        before = len(registry.calls)
        await asyncio.sleep(3600)
        assert len(registry.calls) - before <= 14, "those without one are still tried by one in each pause"


@virtual_time
async def test_a_registry_that_says_when_to_come_back_for_one_image_is_believed():
    registry = Registry(RegistryUnreachable("503", retry_after=300))
    async with running(registry) as readings:
        Asker(readings, question())
        await asyncio.sleep(290)
        assert len(registry.calls) == 1
        await asyncio.sleep(20)
        assert len(registry.calls) == 2


@virtual_time
async def test_an_hour_is_the_most_that_a_registry_can_ask_for():
    registry = Registry(RateLimited("429", retry_after=1e9))
    async with running(registry) as readings:
        Asker(readings, question())
        await asyncio.sleep(3590)
        assert len(registry.calls) == 1
        await asyncio.sleep(60)
        assert len(registry.calls) == 2


@virtual_time
async def test_a_registry_that_is_away_is_tried_by_one_read_in_each_pause_whatever_is_asked_of_it():
    registry = Registry(DOWN)
    async with running(registry) as readings:
        askers = [Asker(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(500)]
        await asyncio.sleep(30)
        assert all(asker.outcome == FailedReading("RegistryUnreachable", str(DOWN)) for asker in askers)
        before = len(registry.calls)
        await asyncio.sleep(3600)
        assert len(registry.calls) - before <= 14
        registry.says = None
        await asyncio.sleep(LONGEST_PAUSE_SECONDS * 1.2 + 500)
        assert all(isinstance(asker.outcome, Reading) for asker in askers)
        assert registry.most["ghcr.io"] <= READS_PER_REGISTRY


def only_fine(image):
    """A registry all of whose images hang but those named so."""
    return None if image.repository.startswith("fine") else LATE


@virtual_time
async def test_a_silent_registry_is_told_to_all_within_half_a_minute_and_tried_by_one_read_in_each_pause():
    registry = Registry(LATE)
    async with running(registry) as readings:
        askers = [Asker(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(500)]
        await asyncio.sleep(31)
        assert all(asker.outcome == FailedReading("RegistryUnreachable", str(LATE)) for asker in askers)
        new = Asker(readings, question("ghcr.io/new:1"), "new")
        await asyncio.sleep(31)
        assert isinstance(new.outcome, FailedReading)
        before = len(registry.calls)
        await asyncio.sleep(3600)
        assert 5 <= len(registry.calls) - before <= 14
        registry.says = None
        await asyncio.sleep(LONGEST_PAUSE_SECONDS * 1.2 + 500)
        assert all(isinstance(asker.outcome, Reading) for asker in [*askers, new])


@virtual_time
async def test_a_silent_registry_is_tried_by_one_read_though_each_namespace_has_its_own_secret_for_the_one_image():
    registry, secrets = Registry(LATE), Secrets(**{f"s{number}": f"p{number}" for number in range(100)})
    async with running(registry, secrets) as readings:
        askers = [
            Asker(readings, question(namespace="team", pull_secrets=(name,)), name) for name in secrets.held
        ]
        await asyncio.sleep(31)
        assert all(isinstance(asker.outcome, FailedReading) for asker in askers)


@virtual_time
async def test_one_image_that_hangs_holds_up_no_other_of_its_registry():
    registry = Registry(only_fine)
    async with running(registry) as readings:
        slow = Asker(readings, question("ghcr.io/slow:1"), "slow")
        for number in range(40):
            await asyncio.sleep(45)
            fine = Asker(readings, question(f"ghcr.io/fine{number}:1"), "fine")
            await asyncio.sleep(1.5)
            assert fine.outcomes == [fine.outcome]
            assert isinstance(fine.outcome, Reading)
        assert isinstance(slow.outcome, FailedReading)


@virtual_time
async def test_images_that_hang_close_no_registry_that_answers_others_meanwhile():
    registry = Registry(only_fine)
    async with running(registry) as readings:
        for number in range(READS_PER_REGISTRY - 1):
            Asker(readings, question(f"ghcr.io/slow{number}:1"), f"slow{number}")
        for number in range(20):
            fine = Asker(readings, question(f"ghcr.io/fine{number}:1"), "fine")
            await asyncio.sleep(2)
            assert isinstance(fine.outcome, Reading)


@virtual_time
async def test_where_many_images_hang_one_that_was_not_tried_yet_is_tried_first():
    registry = Registry(only_fine)
    async with running(registry) as readings:
        for number in range(READS_PER_REGISTRY):
            Asker(readings, question(f"ghcr.io/slow{number}:1"), f"slow{number}")
        for number in range(5):
            await asyncio.sleep(1000)
            fine = Asker(readings, question(f"ghcr.io/fine{number}:1"), "fine")
            await asyncio.sleep((LONGEST_PAUSE_SECONDS + FIRST_PAUSE_SECONDS) * 1.1 + 2 * 30)
            assert isinstance(fine.outcome, Reading)


@virtual_time
async def test_registries_that_hang_hold_up_no_other_for_longer_than_a_read_however_many_they_are():
    registry = Registry(lambda image: None if image.host == "quay.io" else LATE)
    async with running(registry) as readings:
        for number in range(100):
            for tag in range(READS_PER_REGISTRY):
                Asker(readings, question(f"r{number}.example.com/x:{tag}"), f"m{number}-{tag}")
        await asyncio.sleep(1)
        assert registry.busy.total() == READS_AT_A_TIME
        fine = Asker(readings, question("quay.io/fine:1"), "fine")
        await asyncio.sleep(31)
        assert fine.outcomes == [fine.outcome]
        assert isinstance(fine.outcome, Reading)


@virtual_time
async def test_at_most_four_reads_of_one_registry_at_a_time_and_others_beside():
    registry = Registry(seconds=10)
    async with running(registry) as readings:
        for number in range(40):
            Asker(readings, question(f"ghcr.io/x{number}:1"), f"m{number}")
        other = Asker(readings, question("quay.io/y:1"), "other")
        await asyncio.sleep(11)
        assert registry.most == {"ghcr.io": READS_PER_REGISTRY, "quay.io": 1}
        assert isinstance(other.outcome, Reading)


# ---- credentials


@virtual_time
async def test_the_same_image_with_the_same_credentials_is_one_read_from_whatever_namespace():
    registry, secrets = Registry(ImageNotFound("404")), Secrets(creds="same")
    async with running(registry, secrets) as readings:
        for number in range(100):
            Asker(readings, question(namespace=f"team-{number}", pull_secrets=("creds",)), f"m{number}")
        await asyncio.sleep(500)
        assert len(registry.calls) == 1
        assert registry.calls[0][2] == (Credentials("me", "same"),)
        assert secrets.reads <= 100 * (1 + 500 / 54), "each looks at its Secret once a minute"


@virtual_time
async def test_other_credentials_are_another_read():
    registry, secrets = Registry(AccessDenied("403")), Secrets(one="1", two="2")
    async with running(registry, secrets) as readings:
        for name in ("one", "two"):
            Asker(readings, question(namespace="team", pull_secrets=(name,)), name)
        Asker(readings, question(), "nobody")
        await asyncio.sleep(10)
        assert {credentials for *_, credentials in registry.calls} == {
            (Credentials("me", "1"),),
            (Credentials("me", "2"),),
            (),
        }


@virtual_time
async def test_a_missing_secret_is_told_and_looked_for_again_without_asking_the_registry():
    registry, secrets = Registry(), Secrets()
    async with running(registry, secrets) as readings:
        asker = Asker(readings, question(namespace="team", pull_secrets=("late",)))
        await asyncio.sleep(100)
        assert asker.outcome == FailedReading("PullSecretNotFound", "team/late is missing")
        assert registry.calls == []
        assert 4 <= secrets.reads <= 6
        secrets.held["late"] = "right"
        await asyncio.sleep(120)
        assert isinstance(asker.outcome, Reading)


@virtual_time
async def test_a_secret_that_was_mended_is_used_at_the_next_attempt_and_rediscovery_asks_at_once():
    registry, secrets = Registry(AccessDenied("403")), Secrets(creds="wrong")
    async with running(registry, secrets) as readings:
        asker = Asker(readings, question(namespace="team", pull_secrets=("creds",)))
        await asyncio.sleep(10)
        assert asker.outcome.reason == "AccessDenied"
        secrets.held["creds"] = "right"
        registry.says = None
        asker.gone = True
        again = Asker(readings, question(namespace="team", pull_secrets=("creds",), rediscover="now"))
        await asyncio.sleep(1.5)
        assert isinstance(again.outcome, Reading)
        assert registry.calls[-1][2] == (Credentials("me", "right"),)


@virtual_time
async def test_a_secret_that_was_mended_ends_the_pause_within_a_minute_and_one_that_was_not_asks_nobody():
    registry, secrets = Registry(AccessDenied("403")), Secrets(creds="wrong")
    async with running(registry, secrets) as readings:
        asker = Asker(readings, question(namespace="team", pull_secrets=("creds",)))
        await asyncio.sleep(400)
        assert len(registry.calls) == 1
        assert secrets.reads <= 9
        secrets.held["creds"] = "right"
        registry.says = None
        await asyncio.sleep(70)
        assert isinstance(asker.outcome, Reading)
        assert len(registry.calls) == 2


@pytest.mark.parametrize("host", ["", "other.example.org"], ids=["nothing", "nothing that fits"])
@virtual_time
async def test_a_secret_that_holds_nothing_of_use_is_looked_at_every_minute(host):
    entries = [PullEntry(host, "", Credentials("me", "x"))] if host else []
    registry, secrets = Registry(AccessDenied("401")), Secrets(creds=entries)
    async with running(registry, secrets) as readings:
        asker = Asker(readings, question(namespace="team", pull_secrets=("creds",)))
        await asyncio.sleep(10)
        assert asker.outcome.reason == "AccessDenied"
        secrets.held["creds"] = "right"
        registry.says = None
        await asyncio.sleep(FRESH_SECONDS * 1.2)
        assert isinstance(asker.outcome, Reading)
        assert [credentials for *_, credentials in registry.calls] == [(), (Credentials("me", "right"),)]


@virtual_time
async def test_rediscovery_of_an_image_that_failed_asks_in_the_middle_of_the_pause_once():
    registry = Registry(ImageNotFound("404"))
    async with running(registry) as readings:
        Asker(readings, question())
        await asyncio.sleep(10)
        for number in range(50):
            Asker(readings, question(rediscover="now"), f"m{number}")
        await asyncio.sleep(100)
        assert len(registry.calls) == 2


@virtual_time
async def test_rediscovery_does_not_break_through_a_rate_limit():
    registry = Registry(RateLimited("429", retry_after=300))
    async with running(registry) as readings:
        Asker(readings, question())
        await asyncio.sleep(10)
        Asker(readings, question(rediscover="now"), "again")
        await asyncio.sleep(200)
        assert len(registry.calls) == 1


# ---- the rest


@virtual_time
async def test_a_name_that_is_none_is_told_and_no_registry_is_asked():
    registry = Registry()
    async with running(registry) as readings:
        asker = Asker(readings, question("not an image"))
        await asyncio.sleep(1)
        assert asker.outcome.reason == "InvalidImage"
        assert registry.calls == []


@virtual_time
async def test_what_nobody_asks_for_any_more_is_forgotten_and_not_read():
    registry = Registry(AccessDenied("403"))
    async with running(registry) as readings:
        askers = [Asker(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(600)]
        await asyncio.sleep(300)
        for asker in askers:
            asker.gone = True
        await asyncio.sleep(3600)
        calls = len(registry.calls)
        for number in range(700):
            Asker(readings, question(f"quay.io/y{number}:1"), f"n{number}")
        assert len(readings._questions) <= 701
        assert len(readings._attempts) <= 1
        await asyncio.sleep(60)
        assert all(image.startswith("quay.io") for _, image, _ in registry.calls[calls:])


@virtual_time
async def test_stopping_ends_reads_in_flight():
    registry = Registry(seconds=1000)
    async with running(registry) as readings:
        Asker(readings, question())
        await asyncio.sleep(1)
        assert registry.busy["ghcr.io"] == 1
    assert registry.busy["ghcr.io"] == 0


@virtual_time
async def test_many_other_questions_do_not_make_more_reads_of_a_registry_at_a_time():
    registry = Registry(seconds=60)
    async with running(registry) as readings:
        for number in range(READS_PER_REGISTRY - 1):
            Asker(readings, question(f"ghcr.io/early{number}:1"))
        await asyncio.sleep(1)
        for number in range(1200):
            Asker(readings, question(f"ghcr.io/no image {number}"))
        for number in range(READS_PER_REGISTRY):
            Asker(readings, question(f"ghcr.io/late{number}:1"))
        await asyncio.sleep(1)
        assert registry.most["ghcr.io"] == READS_PER_REGISTRY


@virtual_time
async def test_registries_that_nobody_asks_any_more_are_forgotten_however_they_ended():
    registry = Registry(says=DOWN, seconds=0.01)
    async with running(registry) as readings:
        for number in range(600):
            Asker(readings, question(f"r{number}.example.com/x:1")).gone = True
        await asyncio.sleep(3600)
        for number in range(600):
            Asker(readings, question(f"s{number}.example.com/x:1")).gone = True
        await asyncio.sleep(1)
        assert len(readings._hosts) <= 600, "those of an hour ago are still there"
