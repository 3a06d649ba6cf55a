"""Label and field selectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.apiserver.objects.selectors import SelectorError, parse_fields, parse_labels
from aimctl.devcluster.storage.records import Record

LABELS = {"app": "web", "tier": "front", "weight": "7", "example.com/on": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=web", False),
        ("missing!=web", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("missing in (web)", False),
        ("app notin (db, web)", False),
        ("missing notin (web)", True),
        ("app=web,tier=back", False),
        ("app=web, tier in (front) ,!missing", True),
        ("weight>5", True),
        ("weight<7", False),
        ("app>5", False),
        ("example.com/on=", True),
        ("example.com/on in (,x)", True),
        ("app=", False),
    ],
)
def test_label_selectors_match_as_kubernetes_does(text: str, expected: bool) -> None:
    assert parse_labels(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "app in web",
        "app=(x)",
        ",",
        "app in (a",
        "=x",
        "app in (a b)",
        "a b",
        "app>x",
        "a/b/c=d",
        "-a=b",
        "a=-b",
    ],
)
def test_an_invalid_label_selector_is_rejected(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_labels(text)


@given(
    st.dictionaries(st.sampled_from(["a", "b.c/d", "e-f"]), st.sampled_from(["", "x", "y-1"]), max_size=3),
    st.sampled_from(["", "x", "y-1"]),
)
def test_a_key_either_equals_a_value_or_does_not(labels: dict[str, str], value: str) -> None:
    for key in ("a", "b.c/d", "e-f"):
        assert parse_labels(f"{key}={value}").matches(labels) is not parse_labels(f"{key}!={value}").matches(
            labels
        )
        assert parse_labels(key).matches(labels) is not parse_labels(f"!{key}").matches(labels)


def record(**fields: str) -> Record:
    obj = {"metadata": {"name": "n", "namespace": "ns"}, "spec": {"node": fields.get("node", "")}}
    return Record(obj, b"", 1, ("spec.node",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.name=n", True),
        ("metadata.name!=n", False),
        (r"metadata.namespace=ns,spec.node=a\=b", True),
        (r"spec.node=a\=b", True),
        ("spec.node=", False),
        (r"spec.node==a\=b", True),
    ],
)
def test_field_selectors_match_as_kubernetes_does(text: str, expected: bool) -> None:
    assert parse_fields(text, ("spec.node",)).matches(record(node="a=b")) is expected


def test_an_unsupported_field_is_named_in_the_error() -> None:
    with pytest.raises(SelectorError, match=r"field label not supported: spec\.other"):
        parse_fields("spec.other=1", ("spec.node",))
    with pytest.raises(SelectorError, match="can't understand 'spec'"):
        parse_fields("spec", ())
