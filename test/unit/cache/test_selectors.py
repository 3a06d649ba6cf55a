"""Label selectors: the grammar of ``kubectl -l``. Field selectors: those that can be evaluated locally."""

from __future__ import annotations

import pytest

from aimctl.kubetypes import ObjectKey
from aimctl.runtime.cache import LabelSelector
from aimctl.runtime.cache.selectors import field_selector_matches

LABELS = {"app": "web", "tier": "front", "example.com/zone": "a", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("  ", True),
        ("app=web", True),
        ("app==web", True),
        (" app = web ", True),
        ("app=api", False),
        ("app!=api", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("missing=x", False),
        ("empty=", True),
        ("app=", False),
        ("app in (api, web)", True),
        ("app in (api,db)", False),
        ("missing in (x)", False),
        ("app notin (api,db)", True),
        ("app notin (web)", False),
        ("missing notin (x)", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("! app", False),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app in (web),!missing,example.com/zone=a", True),
        ("in=x", False),
        ("notin", False),
    ],
)
def test_a_selector_matches_as_the_server_would(selector: str, matches: bool) -> None:
    assert LabelSelector.parse(selector).matches(LABELS) is matches


@pytest.mark.parametrize(
    "selector", ["a b", "=x", "a=b,", "a in x", "a in (x", "a=b c=d", ",", "a=b,,c=d", "a in ((x))"]
)
def test_an_invalid_selector_is_an_error_that_shows_the_position(selector: str) -> None:
    with pytest.raises(ValueError, match=r"label selector '.*': cannot parse"):
        LabelSelector.parse(selector)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name=b", False),
        ("metadata.name!=a", False),
        ("metadata.name!=b", True),
        ("metadata.namespace=ns", True),
        ("metadata.namespace=other", False),
        (" metadata.name=a , metadata.namespace!=other ,", True),
        ("metadata.name=a,spec.nodeName=n1", None),
        ("metadata.name=b,spec.nodeName=n1", False),
        ("spec.nodeName=n1,metadata.namespace=other", False),
        ("status.phase!=Running", None),
        ("metadata.uid=a", None),
        (r"metadata.name=\a", None),
        ("metadata.name", None),
    ],
)
def test_a_field_selector_is_evaluated_as_far_as_the_key_decides(selector: str, matches: bool | None) -> None:
    assert field_selector_matches(selector, ObjectKey("ns", "a")) is matches
