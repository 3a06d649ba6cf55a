"""The comparison of end states, the invariants of a settled cluster, and the table of mutants."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sieve.bodies import DERIVED
from sieve.detections import load, page_with
from sieve.endstate import differences, end_state, without_repetitions
from sieve.mutants import MUTANTS
from sieve.mutation import mutated
from sieve.observed import Key
from sieve.settled import settled_problems

SIEVE = Path(__file__).parent.parent.parent / "sieve"
UID, OTHER = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"


def stored(uid: str = UID, version: str = "7", **fields):
    return {"metadata": {"uid": uid, "resourceVersion": version, "creationTimestamp": "x"}, **fields}


def test_times_uids_and_versions_do_not_count() -> None:
    first = {Key("jobs", "n", "a"): stored(status={"at": "2026-01-01T00:00:01Z"})}
    second = {Key("jobs", "n", "a"): stored(OTHER, "9", status={"at": "2026-01-01T00:09:01Z"})}
    assert end_state(first) == end_state(second)


def test_a_reference_to_a_former_object_is_a_difference() -> None:
    template = {Key("aimmodels", "n", "m"): stored()}
    present = {**template, Key("jobs", "n", "a"): stored(OTHER, owner=UID)}
    former = {**template, Key("jobs", "n", "a"): stored(OTHER, owner=UID.replace("1", "3"))}
    (line,) = differences(end_state(present), end_state(former))
    assert line == "jobs/n/a.owner is '<uid of no object>'; expected '<aimmodels/n/m>'"


def test_a_missing_object_and_another_value_are_differences() -> None:
    expected = {Key("jobs", "n", "a"): stored(spec={"x": [1, 2]}), Key("jobs", "n", "b"): stored(OTHER)}
    found = {Key("jobs", "n", "a"): stored(spec={"x": [1, 3]}), Key("jobs", "n", "c"): stored(OTHER)}
    lines = list(differences(end_state(expected), end_state(found)))
    assert [line.partition(";")[0].partition(":")[0] for line in lines] == [
        "jobs/n/a.spec.x[1] is 3",
        "jobs/n/b is missing",
        "jobs/n/c is not expected",
    ]


def test_jobs_that_differ_only_in_the_hash_of_their_name_are_numbered_by_age() -> None:
    jobs = {
        Key("jobs", "n", "discover-a-0123456789"): stored(version="9", age="new"),
        Key("jobs", "n", "discover-a-abcdef0123"): stored(OTHER, version="5", age="old"),
    }
    found = end_state(jobs)
    assert {name: body["age"] for name, body in found.items()} == {
        "jobs/n/discover-a-<hash>": "old",
        "jobs/n/discover-a-<hash> (2)": "new",
    }
    assert list(without_repetitions(found)) == ["jobs/n/discover-a-<hash>"]


def test_the_table_of_mutants_is_in_step_with_the_source() -> None:
    assert len({item.name for item in MUTANTS}) == len(MUTANTS) >= 30
    for mutant in MUTANTS:
        ast.parse(mutated(mutant))


def test_the_documentation_has_the_recorded_detection_of_each_mutant() -> None:
    page = (SIEVE.parent.parent / "docs" / "simulation.md").read_text(encoding="utf-8")
    detections = load()
    assert {item.name for item in MUTANTS} == {*detections}, "run `make mutants-record`"
    assert page_with(detections, page) == page, "run `make mutants-record`"
    assert all(f"`{item.where}`" in page for item in detections.values())


SERVICE = {"metadata": {"uid": UID}, "spec": {"overrides": {"metric": "throughput"}}}


@pytest.mark.parametrize(
    ("owners", "uses", "problems"),
    [
        ([UID], UID, []),
        ([UID], OTHER, ["aimservices/n/s owns aimservicetemplates/n/d, and does not use it"]),
        (
            [],
            UID,
            [
                "aimservicetemplates/n/d is derived, and no owner wants it",
                "aimservices/n/s uses aimservicetemplates/n/d, and does not own it",
            ],
        ),
        (
            [UID, OTHER],
            UID,
            ["an object that does not exist owns aimservicetemplates/n/d, and does not use it"],
        ),
    ],
    ids=["owned and used", "owned and not used", "used and not owned", "owned by something that is gone"],
)
def test_a_settled_derived_template_is_owned_by_those_that_use_it(
    owners: list[str], uses: str, problems: list[str]
) -> None:
    template = {
        "metadata": {
            "uid": "t",
            "labels": {DERIVED: "true"},
            "ownerReferences": [{"uid": uid} for uid in owners],
        },
        "spec": {"metric": "throughput"},
    }
    used = "t" if uses == UID else "another"
    objects = {
        Key("aimservicetemplates", "n", "d"): template,
        Key("aimservices", "n", "s"): {**SERVICE, "status": {"resolvedTemplate": {"uid": used}}},
    }
    assert list(settled_problems(objects)) == problems


@pytest.mark.proof
def test_a_scenario_survives_crashes_before_and_after_each_write() -> None:
    command = [sys.executable, str(SIEVE / "run.py"), "--only", "models/crash"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
