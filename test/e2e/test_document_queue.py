"""What the document says about the limit on discovery.

Docstrings name the rows of ``docs/conformance.md`` that a test shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.stage import Stage, said
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.clusters import RunningCluster

LIMIT = 10


@pytest.fixture
def full(operated: RunningCluster) -> Iterator[Stage]:
    """All slots are taken by discoveries that do not end; leaving frees them."""
    stage = Stage(operated, "doc")
    stage.model(image="endless")
    stage.model("quick")
    for number in range(LIMIT):
        stage.template(f"endless-{number}", metric="latency")
    eventually(lambda: len(stage.jobs()) == LIMIT, 60, "ten Jobs are there")
    yield stage
    free(stage)


def free(stage: Stage, count: int = LIMIT) -> None:
    """End some of the endless discoveries."""
    for number in range(count):
        if stage.get("AIMServiceTemplate", f"endless-{number}") is not None:
            stage.delete("AIMServiceTemplate", f"endless-{number}")


def test_the_eleventh_template_waits_for_a_slot(full: Stage) -> None:
    """Document 38, 39, 40, 59, 67."""
    stage = full
    stage.template("eleventh", model="quick", metric="latency")
    status = stage.until("AIMServiceTemplate", "eleventh", "Pending")
    assert said(status)["Discovered"] == ("False", "AwaitingDiscovery")
    assert len(stage.jobs()) == LIMIT
    assert stage.jobs("aim.silogen.ai/template=eleventh") == []
    free(stage, 1)
    stage.until("AIMServiceTemplate", "eleventh", "Ready")


def test_a_service_of_a_waiting_template_is_starting_and_goes_first(full: Stage) -> None:
    """Document 41."""
    stage = full
    for name in ("early", "wanted"):
        stage.template(name, model="quick", metric="latency")
        stage.until("AIMServiceTemplate", name, "Pending")
    stage.service(model="quick", templateRef="wanted")
    status = stage.until("AIMService", "service", "Starting")
    assert status["resolvedTemplate"]["name"] == "wanted"
    free(stage, 1)
    stage.until("AIMServiceTemplate", "wanted", "Ready")
    stage.until("AIMServiceTemplate", "early", "Ready")
    made = {
        job.metadata.labels["aim.silogen.ai/template"]: job.metadata.creation_timestamp
        for job in stage.jobs()
    }
    assert made["wanted"] <= made["early"], "the slot went to the template that a service waits for"
