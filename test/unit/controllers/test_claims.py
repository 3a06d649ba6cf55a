"""The reasons that depend on an object being absent from a cache."""

from __future__ import annotations

import re

import aimctl.domain
from aimctl.controllers.execution.claims import CLAIMS
from aimctl.domain.events import NEEDS_ACTION
from support.words import words_of

NOT_OF_A_CACHE = {
    "ImageNotFound",  # of a registry
    "SourceNotFound",  # of a hub
    "RuntimeNotInstalled",  # of discovery
    "TemplatesMissing",  # the operator creates them itself
}


def test_the_listed_reasons_are_reasons_of_the_domain() -> None:
    written = set(words_of(aimctl.domain, besides="events.py"))
    assert CLAIMS.keys() - written == set()
    assert written >= NEEDS_ACTION


def test_every_reason_that_claims_that_something_is_missing_is_listed() -> None:
    pattern = re.compile(r"NoDefault[A-Z]\w+|[A-Z]\w*(?:NotFound|Missing|NotInstalled)")
    claims = {word for word in words_of(aimctl.domain) if pattern.fullmatch(word)}
    assert len(claims) > 8
    assert claims - CLAIMS.keys() == NOT_OF_A_CACHE
