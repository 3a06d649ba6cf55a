"""How often images are read, how many at a time, and which requests are notified, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from aimctl.controllers.models.image_readings import (
    FIRST_RETRY_SECONDS,
    FRESH_SECONDS,
    MAX_RETRY_SECONDS,
    READS_AT_A_TIME,
    READS_PER_REGISTRY,
    ImageReader,
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
from aimctl.domain.plan import ReadImage
from aimctl.runtime.controller import Request
from aimctl.testing.virtualtime import virtual_clock, virtual_time

DIGEST = "sha256:" + "0" * 64
LABELS = {"com.amd.aim.model.canonicalName": "org/model"}
PROBE_SECONDS = MAX_RETRY_SECONDS * 0.9
"""The shortest interval between two attempts after several failures."""

LATE = ReadTimedOut("ghcr.io: no complete answer within 30 s")
DOWN = RegistryUnreachable("ghcr.io: connection refused", whole_registry=True)


class Registry:
    """Answers every read with ``result`` after ``seconds``; :data:`LATE` takes the time limit of 30 s."""

    def __init__(self, result=None, seconds: float = 1.0) -> None:
        self.result = result
        self.seconds = seconds
        self.calls: list[tuple[float, str, tuple]] = []
        self.busy: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def read(self, image, credentials) -> ImageConfig:
        loop = asyncio.get_running_loop()
        self.calls.append((loop.time(), str(image), tuple(credentials)))
        self.busy[image.host] += 1
        self.most[image.host] = max(self.most[image.host], self.busy[image.host])
        result = self.result(image) if callable(self.result) else self.result
        try:
            await asyncio.sleep(30 if result is LATE else self.seconds)
        finally:
            self.busy[image.host] -= 1
        if isinstance(result, Exception):
            raise result
        return result or ImageConfig(DIGEST, LABELS)

    def gaps(self) -> list[float]:
        times = [at for at, *_ in self.calls]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


class Secrets:
    """Pull secrets by name: a password for ghcr.io, or entries. Others do not exist."""

    def __init__(self, **held) -> None:
        self.held = held
        self.reads = 0

    async def read(self, namespace, names):
        self.reads += 1
        await asyncio.sleep(0.01)
        entries: list[PullEntry] = []
        unusable = None
        for name in names:
            held = self.held.get(name)
            if held is None:
                unusable = FailedReading("PullSecretNotFound", f"{namespace}/{name} is missing")
                continue
            entries += [PullEntry("ghcr.io", "", Credentials("me", held))] if isinstance(held, str) else held
        return tuple(entries), unusable


class Model:
    """Asks a question as the reconciler of a model does, until there is an answer or it is ``gone``."""

    def __init__(self, readings: ImageReadings, question: ImageQuestion, name: str = "m") -> None:
        self._readings = readings
        self._reader = ImageReader(readings, self.reconcile)
        self._question = question
        self._request = Request("team", name)
        self.outcomes: list[object] = []
        self.reconciles = 0
        self._timer: asyncio.TimerHandle | None = None
        self.gone = False
        self.reconcile(self._request)

    def reconcile(self, request: Request) -> None:
        assert request == self._request
        if self.gone:
            return
        self.reconciles += 1
        if self._timer:
            self._timer.cancel()
        outcome, seconds = self._readings.answer(self._question)
        if outcome is not None and (not self.outcomes or self.outcomes[-1] != outcome):
            self.outcomes.append(outcome)
        if isinstance(outcome, Reading):
            return
        self._reader.read(request, ReadImage(self._question))
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.reconcile, request)

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
async def test_reading_does_not_wait_and_the_answer_notifies_the_request():
    registry = Registry()
    async with running(registry) as readings:
        model = Model(readings, question())
        assert model.outcome is None
        await asyncio.sleep(0.5)
        assert (model.reconciles, model.outcome) == (1, None)
        await asyncio.sleep(1)
        assert model.reconciles == 2
        assert isinstance(model.outcome, Reading)
        assert model.outcome.metadata.canonical_name == "org/model"


@virtual_time
async def test_a_question_from_before_the_start_is_answered_after_it():
    registry = Registry()
    readings = ImageReadings(registry, Secrets(), clock=virtual_clock(), rng=random.Random(1))
    model = Model(readings, question())
    await asyncio.sleep(1)
    task = asyncio.get_running_loop().create_task(readings.run())
    await asyncio.sleep(2)
    assert isinstance(model.outcome, Reading)
    task.cancel()
    await asyncio.wait([task])


@virtual_time
async def test_an_answer_alone_starts_no_read():
    registry = Registry()
    async with running(registry) as readings:
        assert readings.answer(question()) == (None, None)
        await asyncio.sleep(2)
        assert registry.calls == []


@virtual_time
async def test_each_reader_notifies_its_own_reconciler_of_a_shared_read():
    registry = Registry()
    async with running(registry) as readings:
        notified = {"models": [], "clustermodels": []}
        for name, request in (("models", Request("team", "m")), ("clustermodels", Request("", "m"))):
            reader = ImageReader(readings, notified[name].append)
            reader.read(request, ReadImage(question()))
            reader.read(request, ReadImage(question()))
        await asyncio.sleep(2)
        assert notified == {"models": [Request("team", "m")], "clustermodels": [Request("", "m")]}
        assert len(registry.calls) == 1


@virtual_time
async def test_two_thousand_models_of_one_image_cost_one_read():
    registry = Registry()
    async with running(registry) as readings:
        models = [Model(readings, question(), f"m{number}") for number in range(2000)]
        await asyncio.sleep(2)
        assert all(isinstance(model.outcome, Reading) for model in models)
        late = Model(readings, question(), "late")
        assert isinstance(late.outcome, Reading)
        assert len(registry.calls) == 1
        await asyncio.sleep(FRESH_SECONDS)
        later = Model(readings, question(), "later")
        assert later.outcome is None, "the tag may refer to another image by now"
        await asyncio.sleep(2)
        assert isinstance(later.outcome, Reading)
        assert len(registry.calls) == 2


@pytest.mark.proof
@pytest.mark.parametrize("whole", [False, True], ids=["one image", "whole registry"])
@virtual_time
async def test_two_thousand_models_of_one_image_share_the_retries_with_exponential_back_off(whole):
    registry = Registry(RegistryUnreachable("500", whole_registry=whole))
    async with running(registry) as readings:
        models = [Model(readings, question(), f"m{number}") for number in range(2000)]
        await asyncio.sleep(4000)
        gaps = registry.gaps()
        assert 85 <= len(registry.calls) <= 4000 / PROBE_SECONDS
        for gap, pause in zip(gaps, (5, 10, 20, 40, 40, 40), strict=False):
            assert pause * 0.9 <= gap - 1 <= pause * 1.1 + 1
        assert max(gaps) <= MAX_RETRY_SECONDS * 1.1 + 2
        registry.result = None
        await asyncio.sleep(MAX_RETRY_SECONDS * 1.2)
        assert all(isinstance(model.outcome, Reading) for model in models)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (ImageNotFound("404"), "ImageNotFound"),
        (AccessDenied("403"), "AccessDenied"),
        (
            ImageConfig(DIGEST, {"com.amd.aim.model.recommendedDeployments": "not JSON"}),
            "MalformedMetadata",
        ),
    ],
)
@virtual_time
async def test_a_permanent_failure_is_retried_every_ten_minutes(result, reason):
    registry = Registry(result)
    async with running(registry) as readings:
        model = Model(readings, question())
        await asyncio.sleep(3700)
        assert [outcome.reason for outcome in model.outcomes] == [reason]
        assert 6 <= len(registry.calls) <= 7
        assert all(540 <= gap <= 665 for gap in registry.gaps())


@virtual_time
async def test_a_rate_limit_pauses_all_images_of_the_registry_and_no_other_registry():
    registry = Registry(
        lambda image: RateLimited("429", retry_after=300) if image.host == "ghcr.io" else None
    )
    async with running(registry) as readings:
        models = [Model(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(50)]
        other = Model(readings, question("quay.io/y:1"), "other")
        await asyncio.sleep(290)
        asked = Counter(image.partition("/")[0] for _, image, _ in registry.calls)
        assert asked["ghcr.io"] <= READS_PER_REGISTRY
        assert asked["quay.io"] == 1
        assert isinstance(other.outcome, Reading)
        assert all(model.outcome == FailedReading("RegistryUnreachable", "429") for model in models)


@pytest.mark.parametrize("retry_after", [None, 3600.0])
@virtual_time
async def test_a_rate_limit_of_anonymous_reads_does_not_pause_reads_with_an_account(retry_after):
    class Counting(Registry):
        async def read(self, image, credentials):
            self.result = None if credentials else RateLimited("429", retry_after=retry_after)
            return await super().read(image, credentials)

    registry, secrets = Counting(seconds=0.1), Secrets(paid="x")
    async with running(registry, secrets) as readings:
        for number in range(100):
            Model(readings, question(f"ghcr.io/free{number}:1"), f"free{number}")
        await asyncio.sleep(700)
        for number in range(5):
            paid = Model(
                readings,
                question(f"ghcr.io/paid{number}:1", namespace="team", pull_secrets=("paid",)),
                "paid",
            )
            await asyncio.sleep(10)
            assert isinstance(paid.outcome, Reading)
        before = len(registry.calls)
        await asyncio.sleep(3600)
        assert len(registry.calls) - before <= 14, "anonymous reads are still tested by one at a time"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(RegistryUnreachable("503", retry_after=300), 300), (RateLimited("429", retry_after=1e9), 3600)],
)
@virtual_time
async def test_retry_after_is_respected_up_to_an_hour(error, seconds):
    registry = Registry(error)
    async with running(registry) as readings:
        Model(readings, question())
        await asyncio.sleep(seconds - 10)
        assert len(registry.calls) == 1
        await asyncio.sleep(30)
        assert len(registry.calls) == 2


@pytest.mark.proof
@virtual_time
async def test_an_unreachable_registry_is_tested_by_one_read_at_a_time():
    registry = Registry(DOWN)
    async with running(registry) as readings:
        models = [Model(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(500)]
        await asyncio.sleep(30)
        assert all(model.outcome == FailedReading("RegistryUnreachable", str(DOWN)) for model in models)
        before = len(registry.calls)
        await asyncio.sleep(3600)
        assert len(registry.calls) - before <= 3600 / PROBE_SECONDS + 1
        registry.result = None
        await asyncio.sleep(MAX_RETRY_SECONDS * 1.2 + 500)
        assert all(isinstance(model.outcome, Reading) for model in models)
        assert registry.most["ghcr.io"] <= READS_PER_REGISTRY


def only_fine(image):
    """A registry that responds to images named ``fine`` only."""
    return None if image.repository.startswith("fine") else LATE


@pytest.mark.proof
@virtual_time
async def test_an_unresponsive_registry_is_reported_within_half_a_minute_and_tested_by_one_read_at_a_time():
    registry = Registry(LATE)
    async with running(registry) as readings:
        models = [Model(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(500)]
        await asyncio.sleep(31)
        assert all(model.outcome == FailedReading("RegistryUnreachable", str(LATE)) for model in models)
        new = Model(readings, question("ghcr.io/new:1"), "new")
        await asyncio.sleep(31)
        assert isinstance(new.outcome, FailedReading)
        before = len(registry.calls)
        await asyncio.sleep(3600)
        assert 5 <= len(registry.calls) - before <= 3600 / PROBE_SECONDS + 1
        registry.result = None
        await asyncio.sleep(MAX_RETRY_SECONDS * 1.2 + 500)
        assert all(isinstance(model.outcome, Reading) for model in [*models, new])


@virtual_time
async def test_an_unresponsive_registry_is_reported_in_time_to_all_accounts_of_one_image():
    registry, secrets = Registry(LATE), Secrets(**{f"s{number}": f"p{number}" for number in range(100)})
    async with running(registry, secrets) as readings:
        models = [
            Model(readings, question(namespace="team", pull_secrets=(name,)), name) for name in secrets.held
        ]
        await asyncio.sleep(31)
        assert all(isinstance(model.outcome, FailedReading) for model in models)


@virtual_time
async def test_an_image_that_times_out_does_not_delay_others_of_its_registry():
    registry = Registry(only_fine)
    async with running(registry) as readings:
        slow = Model(readings, question("ghcr.io/slow:1"), "slow")
        for number in range(40):
            await asyncio.sleep(45)
            fine = Model(readings, question(f"ghcr.io/fine{number}:1"), "fine")
            await asyncio.sleep(1.5)
            assert fine.outcomes == [fine.outcome]
            assert isinstance(fine.outcome, Reading)
        assert isinstance(slow.outcome, FailedReading)


@virtual_time
async def test_images_that_time_out_do_not_pause_a_registry_that_responds_to_others():
    registry = Registry(only_fine)
    async with running(registry) as readings:
        for number in range(READS_PER_REGISTRY - 1):
            Model(readings, question(f"ghcr.io/slow{number}:1"), f"slow{number}")
        for number in range(20):
            fine = Model(readings, question(f"ghcr.io/fine{number}:1"), "fine")
            await asyncio.sleep(2)
            assert isinstance(fine.outcome, Reading)


@virtual_time
async def test_an_image_that_was_not_tried_yet_takes_precedence_over_images_that_time_out():
    registry = Registry(only_fine)
    async with running(registry) as readings:
        for number in range(READS_PER_REGISTRY):
            Model(readings, question(f"ghcr.io/slow{number}:1"), f"slow{number}")
        for number in range(5):
            await asyncio.sleep(1000)
            fine = Model(readings, question(f"ghcr.io/fine{number}:1"), "fine")
            await asyncio.sleep((MAX_RETRY_SECONDS + FIRST_RETRY_SECONDS) * 1.1 + 2 * 30)
            assert isinstance(fine.outcome, Reading)


@virtual_time
async def test_unresponsive_registries_delay_others_by_one_time_limit_at_most():
    registry = Registry(lambda image: None if image.host == "quay.io" else LATE)
    async with running(registry) as readings:
        for number in range(100):
            for tag in range(READS_PER_REGISTRY):
                Model(readings, question(f"r{number}.example.com/x:{tag}"), f"m{number}-{tag}")
        await asyncio.sleep(1)
        assert registry.busy.total() == READS_AT_A_TIME
        fine = Model(readings, question("quay.io/fine:1"), "fine")
        await asyncio.sleep(31)
        assert fine.outcomes == [fine.outcome]
        assert isinstance(fine.outcome, Reading)


@virtual_time
async def test_at_most_four_reads_of_one_registry_run_at_a_time():
    registry = Registry(seconds=10)
    async with running(registry) as readings:
        for number in range(40):
            Model(readings, question(f"ghcr.io/x{number}:1"), f"m{number}")
        other = Model(readings, question("quay.io/y:1"), "other")
        await asyncio.sleep(11)
        assert registry.most == {"ghcr.io": READS_PER_REGISTRY, "quay.io": 1}
        assert isinstance(other.outcome, Reading)


# ---- credentials


@virtual_time
async def test_namespaces_with_the_same_credentials_share_a_read():
    registry, secrets = Registry(ImageNotFound("404")), Secrets(creds="same")
    async with running(registry, secrets) as readings:
        for number in range(100):
            Model(readings, question(namespace=f"team-{number}", pull_secrets=("creds",)), f"m{number}")
        await asyncio.sleep(500)
        assert len(registry.calls) == 1
        assert registry.calls[0][2] == (Credentials("me", "same"),)
        assert secrets.reads <= 100 * (1 + 500 / PROBE_SECONDS), "each reads its Secret every 40 s"


@virtual_time
async def test_other_credentials_cause_another_read():
    registry, secrets = Registry(AccessDenied("403")), Secrets(one="1", two="2")
    async with running(registry, secrets) as readings:
        for name in ("one", "two"):
            Model(readings, question(namespace="team", pull_secrets=(name,)), name)
        Model(readings, question(), "anonymous")
        await asyncio.sleep(10)
        assert {credentials for *_, credentials in registry.calls} == {
            (Credentials("me", "1"),),
            (Credentials("me", "2"),),
            (),
        }


@virtual_time
async def test_a_missing_secret_is_the_cause_of_a_denial_and_used_within_a_minute_of_its_creation():
    class Private(Registry):
        async def read(self, image, credentials):
            self.result = None if credentials else AccessDenied("401")
            return await super().read(image, credentials)

    registry, secrets = Private(), Secrets()
    async with running(registry, secrets) as readings:
        model = Model(readings, question(namespace="team", pull_secrets=("late",)))
        await asyncio.sleep(100)
        assert model.outcome == FailedReading("PullSecretNotFound", "team/late is missing")
        assert len(registry.calls) == 1, "without other credentials it is denied again"
        assert 3 <= secrets.reads <= 4
        secrets.held["late"] = "right"
        await asyncio.sleep(60)
        assert isinstance(model.outcome, Reading)
        assert model.outcome.skipped == ""


@pytest.mark.parametrize(
    ("result", "reason", "words"),
    [
        (ImageNotFound("no such image"), "ImageNotFound", "no such image; team/late is missing"),
        (RegistryUnreachable("bad"), "RegistryUnreachable", "bad"),
    ],
    ids=["not found", "unreachable"],
)
@virtual_time
async def test_other_failures_without_a_secret_keep_their_reason(result, reason, words):
    async with running(Registry(result), Secrets()) as readings:
        model = Model(readings, question(namespace="team", pull_secrets=("late",)))
        await asyncio.sleep(10)
        assert model.outcome == FailedReading(reason, words)


@virtual_time
async def test_a_public_image_is_read_without_its_missing_secret():
    registry = Registry()
    async with running(registry, Secrets(good="right")) as readings:
        public = Model(readings, question(namespace="team", pull_secrets=("late",)))
        other = Model(readings, question(namespace="team", pull_secrets=("late", "good")))
        await asyncio.sleep(10)
        assert public.outcome.skipped == other.outcome.skipped == "team/late is missing"
        assert sorted(credentials for _, _, credentials in registry.calls) == [
            (),
            (Credentials("me", "right"),),
        ]


@virtual_time
async def test_rediscovery_uses_a_corrected_secret_at_once():
    registry, secrets = Registry(AccessDenied("403")), Secrets(creds="wrong")
    async with running(registry, secrets) as readings:
        model = Model(readings, question(namespace="team", pull_secrets=("creds",)))
        await asyncio.sleep(10)
        assert model.outcome.reason == "AccessDenied"
        secrets.held["creds"] = "right"
        registry.result = None
        model.gone = True
        again = Model(readings, question(namespace="team", pull_secrets=("creds",), rediscover="now"))
        await asyncio.sleep(1.5)
        assert isinstance(again.outcome, Reading)
        assert registry.calls[-1][2] == (Credentials("me", "right"),)


@virtual_time
async def test_a_corrected_secret_is_used_within_a_minute_and_an_unchanged_one_causes_no_read():
    registry, secrets = Registry(AccessDenied("403")), Secrets(creds="wrong")
    async with running(registry, secrets) as readings:
        model = Model(readings, question(namespace="team", pull_secrets=("creds",)))
        await asyncio.sleep(400)
        assert len(registry.calls) == 1
        assert secrets.reads <= 12
        secrets.held["creds"] = "right"
        registry.result = None
        await asyncio.sleep(70)
        assert isinstance(model.outcome, Reading)
        assert len(registry.calls) == 2


@pytest.mark.parametrize("host", ["", "other.example.org"], ids=["nothing", "nothing that fits"])
@virtual_time
async def test_a_secret_without_matching_credentials_is_read_every_minute(host):
    entries = [PullEntry(host, "", Credentials("me", "x"))] if host else []
    registry, secrets = Registry(AccessDenied("401")), Secrets(creds=entries)
    async with running(registry, secrets) as readings:
        model = Model(readings, question(namespace="team", pull_secrets=("creds",)))
        await asyncio.sleep(10)
        assert model.outcome.reason == "AccessDenied"
        secrets.held["creds"] = "right"
        registry.result = None
        await asyncio.sleep(FRESH_SECONDS * 1.2)
        assert isinstance(model.outcome, Reading)
        assert [credentials for *_, credentials in registry.calls] == [(), (Credentials("me", "right"),)]


@virtual_time
async def test_rediscovery_of_a_failed_image_reads_it_once_before_the_retry_is_due():
    registry = Registry(ImageNotFound("404"))
    async with running(registry) as readings:
        Model(readings, question())
        await asyncio.sleep(10)
        for number in range(50):
            Model(readings, question(rediscover="now"), f"m{number}")
        await asyncio.sleep(100)
        assert len(registry.calls) == 2


@virtual_time
async def test_rediscovery_respects_a_rate_limit():
    registry = Registry(RateLimited("429", retry_after=300))
    async with running(registry) as readings:
        Model(readings, question())
        await asyncio.sleep(10)
        Model(readings, question(rediscover="now"), "again")
        await asyncio.sleep(200)
        assert len(registry.calls) == 1


# ---- the rest


@virtual_time
async def test_an_invalid_name_is_reported_and_no_registry_is_asked():
    registry = Registry()
    async with running(registry) as readings:
        model = Model(readings, question("not an image"))
        await asyncio.sleep(1)
        assert model.outcome.reason == "InvalidImage"
        assert registry.calls == []


@virtual_time
async def test_questions_of_deleted_models_are_dropped_and_not_read():
    registry = Registry(AccessDenied("403"))
    async with running(registry) as readings:
        models = [Model(readings, question(f"ghcr.io/x{number}:1"), f"m{number}") for number in range(600)]
        await asyncio.sleep(300)
        for model in models:
            model.gone = True
        await asyncio.sleep(3600)
        calls = len(registry.calls)
        for number in range(700):
            Model(readings, question(f"quay.io/y{number}:1"), f"n{number}")
        assert len(readings._questions) <= 701
        assert len(readings._images) <= 1
        await asyncio.sleep(60)
        assert all(image.startswith("quay.io") for _, image, _ in registry.calls[calls:])


@virtual_time
async def test_stopping_cancels_running_reads():
    registry = Registry(seconds=1000)
    async with running(registry) as readings:
        Model(readings, question())
        await asyncio.sleep(1)
        assert registry.busy["ghcr.io"] == 1
    assert registry.busy["ghcr.io"] == 0


@virtual_time
async def test_tidying_does_not_reset_the_limit_of_a_registry_in_use():
    registry = Registry(seconds=60)
    async with running(registry) as readings:
        for number in range(READS_PER_REGISTRY - 1):
            Model(readings, question(f"ghcr.io/early{number}:1"))
        await asyncio.sleep(1)
        for number in range(1200):
            Model(readings, question(f"ghcr.io/no image {number}"))
        for number in range(READS_PER_REGISTRY):
            Model(readings, question(f"ghcr.io/late{number}:1"))
        await asyncio.sleep(1)
        assert registry.most["ghcr.io"] == READS_PER_REGISTRY


@virtual_time
async def test_unused_registries_are_dropped():
    registry = Registry(result=DOWN, seconds=0.01)
    async with running(registry) as readings:
        for number in range(600):
            Model(readings, question(f"r{number}.example.com/x:1")).gone = True
        await asyncio.sleep(3600)
        for number in range(600):
            Model(readings, question(f"s{number}.example.com/x:1")).gone = True
        await asyncio.sleep(1)
        assert len(readings._registries) <= 600, "those of an hour ago have been dropped"
