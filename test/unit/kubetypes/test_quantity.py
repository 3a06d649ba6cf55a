"""Quantities are parsed and formatted as Kubernetes does."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.kubetypes.quantity import (
    MAX_BYTES,
    amount,
    parse_quantity,
    readable_quantity,
    readable_size,
    size_in_bytes,
)


@pytest.mark.parametrize(
    ("one", "other", "total", "difference"),
    [
        ("1Gi", "512Mi", "1536Mi", "512Mi"),
        ("1", "500m", "1500m", "500m"),
        ("1Gi", "1G", str(1024**3 + 10**9), str(1024**3 - 10**9)),
        ("0", "1Gi", "1Gi", "-1Gi"),
        ("1Ei", "1n", "1152921504606846976000000001n", "1152921504606846975999999999n"),
        ("500m", "500m", "1", "0"),
    ],
)
def test_sums_and_differences_are_exact(one: str, other: str, total: str, difference: str) -> None:
    left, right = parse_quantity(one), parse_quantity(other)
    assert str(left + right) == total
    assert str(left - right) == difference


@pytest.mark.parametrize(
    ("text", "canonical", "value"),
    [
        ("0", "0", "0"),
        ("16Gi", "16Gi", str(16 * 1024**3)),
        ("1024Mi", "1Gi", str(1024**3)),
        ("1.5Gi", "1536Mi", str(1536 * 1024**2)),
        ("512", "512", "512"),
        ("1000", "1k", "1000"),
        ("1500", "1500", "1500"),
        ("500m", "500m", "0.5"),
        ("0.5", "500m", "0.5"),
        (".5", "500m", "0.5"),
        ("2.", "2", "2"),
        ("1e3", "1e3", "1000"),
        ("1E3", "1e3", "1000"),
        ("1E", "1E", str(10**18)),
        ("1Ei", "1Ei", str(1024**6)),
        ("-3k", "-3k", "-3000"),
        ("+3M", "3M", "3000000"),
        ("0.5Ki", "512", "512"),
        ("100n", "100n", "0.0000001"),
        ("1e-3", "1e-3", "0.001"),
        ("0.1n", "1n", "0.000000001"),
        ("-0.1n", "-1n", "-0.000000001"),
    ],
)
def test_a_quantity_has_the_value_and_canonical_form_that_kubernetes_gives_it(
    text: str, canonical: str, value: str
) -> None:
    quantity = parse_quantity(text)
    assert quantity.value == Decimal(value)
    assert str(quantity) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Gi",
        "1 Gi",
        "1gi",
        "1KI",
        "1K",
        "--1",
        "1e",
        "1e3Gi",
        "1.2.3",
        "16GB",
        "NaN",
        "1_0",
        "1Gib",
        "1e999999999",
        "٣",
    ],
)
def test_other_text_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="16Gi"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("16Gi", 17179869184), ("2Mi", 2097152), ("0.3", 1), ("1.1", 2)]
)
def test_a_size_in_bytes_is_rounded_up(text: str, expected: int) -> None:
    assert size_in_bytes(text) == expected


@pytest.mark.parametrize("text", ["-1", "8Ei", "9223372036854775808"])
def test_a_size_that_no_int64_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=str(MAX_BYTES)):
        size_in_bytes(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1Gi", "1073741824"), ("1.5k", "1500"), (8, "8"), (0.5, "0.5"), ("nonsense", "0"), (None, "0")],
)
def test_an_amount_is_zero_for_what_is_not_a_quantity(value: object, expected: str) -> None:
    assert amount(value) == Decimal(expected)


SUFFIXES = st.sampled_from(
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-2", "e0"]
)
NUMBERS = st.from_regex(r"[+-]?([0-9]{1,12}(\.[0-9]{0,8})?|\.[0-9]{1,8})", fullmatch=True).filter(str.isascii)


@given(NUMBERS, SUFFIXES)
def test_reading_the_canonical_form_gives_the_same_amount_and_form(number: str, suffix: str) -> None:
    quantity = parse_quantity(number + suffix)
    again = parse_quantity(str(quantity))
    assert again.value == quantity.value
    assert str(again) == str(quantity)


@given(st.text(max_size=80))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    try:
        quantity = parse_quantity(text)
    except ValueError:
        return
    assert quantity.value.is_finite()


SIZES = {
    0: "0 B",
    1023: "1023 B",
    1536: "1.5 KiB",
    2147484: "2 MiB",
    1024**2 - 1: "1 MiB",
    16 * 1024**3: "16 GiB",
    2**63: "8 EiB",
}


@pytest.mark.parametrize("count", SIZES)
def test_sizes_for_people_have_the_largest_binary_unit(count: int) -> None:
    assert readable_size(count) == SIZES[count]


@pytest.mark.parametrize(
    ("text", "shown"), [("67072Mi", "65.5 GiB"), ("2147484", "2 MiB"), ("", ""), ("-1", "-1"), ("big", "big")]
)
def test_a_quantity_for_people_is_a_size_or_as_it_stands(text: str, shown: str) -> None:
    assert readable_quantity(text) == shown
