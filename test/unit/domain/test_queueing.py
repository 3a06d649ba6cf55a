"""Which templates wait for a discovery slot, and which templates a service waits for."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from aimctl.api.v1alpha1 import SERVICES, TemplateStatus
from aimctl.domain.plan import ActionKey, Known, Rejection
from aimctl.domain.templates.queueing import awaits, blocked, waiting_since, waits_for_slot
from support.settling import settle
from support.templates import NOW, at, completed, observe, wanted_job

OLD = {
    "modelSources": [{"name": "m", "source": "hf://m/m", "sizeBytes": 1}],
    "discovery": {"result": {"inputHash": "another"}},
}
FAILED = settle(jobs=[completed(wanted_job(observe()).key.name, b"[]")]).status
RETRIED = {
    **FAILED,
    "discovery": {
        "failure": {**FAILED["discovery"]["failure"], "retryAt": at(NOW + timedelta(seconds=15))},
    },
}
QUOTA = Known({ActionKey("Job", "team", wanted_job(observe()).key.name): Rejection("exceeded quota")})
CASES = {
    "new": settle(),
    "new, cluster": settle(cluster=True),
    "no model": settle(no_model=True),
    "no config": settle(config_name="special"),
    "no GPU": settle(gpus=()),
    "static": settle(spec={"modelSources": [{"name": "m", "sourceURI": "hf://m", "size": "1Gi"}]}),
    "changed input": settle(OLD),
    "changed input, no GPU": settle(OLD, gpus=()),
    "rejected": settle(known=QUOTA),
    "failed for good": settle(FAILED),
    "failed, to be retried": settle(RETRIED, now=NOW + timedelta(seconds=15)),
}


def status_of(case):
    return TemplateStatus.model_validate(CASES[case].status)


@pytest.mark.parametrize("case", CASES)
def test_a_template_waits_for_a_slot_if_discovery_requests_one(case):
    waits = CASES[case].wanted is not None
    assert waits_for_slot(status_of(case), unfinished_job=False) == waits
    if waits:
        assert waiting_since(status_of(case))


def test_the_cases_contain_waiting_templates_and_others():
    assert {found.wanted is not None for found in CASES.values()} == {True, False}


@pytest.mark.parametrize("case", CASES)
def test_only_a_template_whose_job_cannot_be_created_is_blocked(case):
    assert bool(blocked(status_of(case))) == (case == "rejected")


@pytest.mark.parametrize("case", CASES)
def test_a_template_with_an_unfinished_job_does_not_wait_for_a_slot(case):
    assert not waits_for_slot(status_of(case), unfinished_job=True)


def test_a_template_without_a_status_does_not_wait_for_a_slot():
    assert not waits_for_slot(TemplateStatus(), unfinished_job=False)
    assert waiting_since(TemplateStatus()) == ""


def wants(template=("team", "llama"), model="m", owners=(), **spec):
    state = spec.pop("status", {})
    asked = spec.pop("spec_model", {"ref": "m"})
    body = {"spec": {"model": asked, **spec}, "status": state}
    service = SERVICES.decode(json.dumps(body).encode())
    return awaits(service, "team", "s-uid", template=template, model=model, owners=owners)


USES = {"resolvedTemplate": {"kind": "AIMServiceTemplate", "name": "llama", "namespace": "team", "uid": "u"}}
MADE = {"resolvedImage": {"kind": "AIMModel", "name": "m", "uid": "u"}}
AWAITS = {
    "names it": ({"templateRef": "llama"}, True),
    "names another": ({"templateRef": "other"}, False),
    "leaves the choice, of its model": ({}, True),
    "leaves the choice, of another model": ({"model": "n"}, False),
    "names another, but derived from it": ({"templateRef": "other", "owners": ("s-uid",)}, True),
    "uses it": ({"templateRef": "x", "status": USES}, True),
    "uses the cluster's of that name": (
        {"templateRef": "x", "status": USES, "template": ("", "llama")},
        False,
    ),
    "names an image, of its model": ({"spec_model": {"image": "i"}, "status": MADE}, True),
    "names an image that has no model yet": ({"spec_model": {"image": "i"}}, False),
    "of another namespace": ({"templateRef": "llama", "template": ("away", "llama")}, False),
    "of the cluster": ({"templateRef": "llama", "template": ("", "llama")}, True),
}


@pytest.mark.parametrize("case", AWAITS)
def test_a_service_waits_for_the_templates_that_it_may_use(case):
    fields, expected = AWAITS[case]
    assert wants(**fields) is expected
