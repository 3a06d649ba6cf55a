"""The rules of the live test differ from the shipped ones in times only."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aimctl.api.alerts import alert_rules
from observe.shortened import FACTOR, seconds_of, shortened

RULES = alert_rules()
_NUMBER = re.compile(r"\d+(ms|[smhd])?")


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_only_times_differ(rule: dict[str, Any]) -> None:
    made = shortened(rule)
    assert _NUMBER.sub("N", made["expr"]) == _NUMBER.sub("N", rule["expr"])
    assert {key: value for key, value in made.items() if key not in {"expr", "for"}} == {
        key: value for key, value in rule.items() if key not in {"expr", "for"}
    }
    if "for" in rule:
        assert int(made["for"].removesuffix("ms")) * FACTOR == seconds_of(rule["for"]) * 1000
    ranges = [int(found) * FACTOR for found in re.findall(r"\[(\d+)ms\]", made["expr"])]
    assert ranges == [seconds_of(found) * 1000 for found in re.findall(r"\[(\w+)\]", rule["expr"])]


def test_ages_are_shortened_and_numbers_of_objects_are_not() -> None:
    made = {rule["alert"]: shortened(rule)["expr"] for rule in RULES}
    assert made["AimCacheStale"].endswith("> 15")
    assert made["AimStuckReconcile"].endswith("> 5")
    assert made["AimQueueAge"].endswith("> 5")
    assert "> 100" in made["AimBacklogGrows"]
    assert "> 0.5 *" in made["AimDiscoveryFails"]
    assert "< 7 * 24 * 3600" in made["AimCertificateExpires"]
