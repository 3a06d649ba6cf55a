"""Who stands in line for a discovery slot, and for whom a service waits."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aimctl.api.v1alpha1 import SERVICES, TemplateStatus
from aimctl.domain.templates.decision import decide_template
from aimctl.domain.templates.discovery_decision import decide_discovery
from aimctl.domain.templates.queueing import awaits, waiting_since, waits_for_slot
from support.templates import observe


def settled(seen):
    """The observation with the statuses that both reconcilers write about it."""
    for decide in (decide_discovery, decide_template, decide_discovery, decide_template):
        decision = decide(seen)
        if decision.status is None:
            return seen
        body = seen.view.status.to_json()
        kept = [
            one for one in body.pop("conditions", []) if one["type"] not in decision.status.owned_conditions
        ]
        body = {key: value for key, value in body.items() if key not in decision.status.owned_fields}
        body |= {**decision.status.fields, "conditions": [*kept, *decision.status.conditions]}
        view = seen.view.model_copy(update={"status": TemplateStatus.model_validate(body)})
        seen = replace(seen, view=view)
    return seen


OLD = {
    "modelSources": [{"name": "m", "source": "hf://m/m", "sizeBytes": 1}],
    "discovery": {"result": {"inputHash": "another"}},
}
CASES = {
    "new": observe(),
    "new, cluster": observe(cluster=True),
    "no model": observe(no_model=True),
    "no config": observe(config_name="special"),
    "no GPU": observe(gpus=()),
    "static": observe(spec={"modelSources": [{"name": "m", "sourceURI": "hf://m", "size": "1Gi"}]}),
    "changed input": observe(OLD),
    "changed input, no GPU": observe(OLD, gpus=()),
    "refused": replace(observe(), refused="the API server refused the discovery Job: quota"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_agrees_with_the_wish_that_discovery_has(case):
    seen = settled(CASES[case])
    wishes = decide_discovery(seen).wish is not None
    assert waits_for_slot(seen.view.status, unfinished_job=False) == wishes
    if wishes:
        assert waiting_since(seen.view.status)


def test_the_cases_hold_both():
    wishes = {decide_discovery(settled(seen)).wish is not None for seen in CASES.values()}
    assert wishes == {True, False}


@pytest.mark.parametrize("case", CASES)
def test_who_has_a_job_does_not_stand_in_line(case):
    assert not waits_for_slot(settled(CASES[case]).view.status, unfinished_job=True)


def test_a_template_that_nobody_has_looked_at_is_not_in_line_yet():
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
def test_a_service_waits_for_what_it_may_come_to_use(case):
    fields, expected = AWAITS[case]
    assert wants(**fields) is expected
