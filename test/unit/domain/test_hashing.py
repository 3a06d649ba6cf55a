"""Equal JSON has the same hash on every machine."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.hashing import canonical_json, digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_the_hash_of_a_known_value_never_changes() -> None:
    value = {"precision": "fp16", "metric": "throughput", "gpuSelector": {"model": "MI300X", "count": 2}}
    assert (
        canonical_json(value)
        == b'{"gpuSelector":{"count":2,"model":"MI300X"},"metric":"throughput","precision":"fp16"}'
    )
    assert digest(value) == "338c0153a7bf5137c7f40d1d97e811b7f8d31fd3b4323edf17d03b534d903ccb"


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_the_order_of_keys_does_not_change_the_hash(value: dict[str, object]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


@given(JSON)
def test_the_canonical_form_decodes_to_the_same_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"a": [float("nan")]}])
def test_a_value_that_is_not_json_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match=r"float|surrogate"):
        canonical_json(value)
