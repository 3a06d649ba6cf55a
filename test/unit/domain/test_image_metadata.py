"""Parsing the labels of images, and reporting invalid ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import MODELS, OciMetadata, RecommendedDeployment
from aimctl.domain.hashing import canonical_json
from aimctl.domain.images.metadata import MAX_DEPLOYMENTS, MAX_LABEL, MAX_STORED_BYTES, read_metadata
from aimctl.domain.images.reading import FailedReading, Reading, judge_labels

NEW, OLD = "com.amd.aim.model.", "org.amd.silogen.model."
ONE = {"gpuModel": "MI300X", "gpuCount": 1, "precision": "fp8", "metric": "latency"}


def labels(deployments=None, prefix: str = NEW, **more: str) -> dict[str, str]:
    out = {f"{prefix}{key}": value for key, value in more.items()}
    if deployments is not None:
        out[f"{prefix}recommendedDeployments"] = (
            deployments if isinstance(deployments, str) else json.dumps(deployments)
        )
    return out


@pytest.mark.parametrize("prefix", [NEW, OLD])
def test_both_prefixes_are_read(prefix):
    found = read_metadata(labels([ONE], prefix, canonicalName="org/model"))
    assert found.is_aim
    assert found.canonical_name == "org/model"
    assert found.deployments == (RecommendedDeployment.model_validate(ONE),)
    assert found.problems == ()
    assert found.to_json() == {"canonicalName": "org/model", "recommendedDeployments": [ONE]}


def test_the_newer_prefix_takes_precedence_for_each_label():
    found = read_metadata(
        {
            **labels(None, OLD, canonicalName="old"),
            **labels([ONE], OLD),
            **labels(None, NEW, canonicalName="new"),
        }
    )
    assert found.canonical_name == "new"
    assert len(found.deployments) == 1


def test_an_image_without_aim_labels_has_its_oci_labels():
    found = read_metadata(
        {
            "org.opencontainers.image.title": "vLLM",
            "org.opencontainers.image.licenses": "MIT",
            "org.opencontainers.image.vendor": "  ",
            "org.opencontainers.image.unknown": "x",
            "maintainer": "x",
        }
    )
    assert not found.is_aim
    assert found.to_json() == {"oci": {"title": "vLLM", "licenses": "MIT"}}


def test_all_fields_of_a_deployment_are_read_and_normalized():
    full = {
        "gpuModel": " MI325X ",
        "gpuCount": 8,
        "precision": "FP8",
        "metric": "Throughput",
        "profileId": "vllm-mi325x-fp8-tp8",
        "description": "line\nline",
        "unknown": "x",
    }
    (found,) = read_metadata(labels([full])).deployments
    assert found.to_json() == {
        "gpuModel": "MI325X",
        "gpuCount": 8,
        "precision": "fp8",
        "metric": "throughput",
        "profileId": "vllm-mi325x-fp8-tp8",
        "description": "line\nline",
    }


def test_null_means_the_same_as_a_missing_field():
    (found,) = read_metadata(labels([{**ONE, "profileId": None, "description": ""}])).deployments
    assert found.to_json() == ONE


BAD_ENTRIES = {
    "a string": ("MI300X", "[1] is 'MI300X'; it must be an object"),
    "a list": ([ONE], "it must be an object"),
    "an empty object": ({}, "has no known field"),
    "unknown fields": ({"gpu": "MI300X"}, 'has no known field: ["gpu"]'),
    "a count as string": (
        {**ONE, "gpuCount": "one"},
        ".gpuCount is 'one'; it must be a number from 0 to 1024",
    ),
    "a count that is true": ({**ONE, "gpuCount": True}, ".gpuCount is true"),
    "a negative count": ({**ONE, "gpuCount": -1}, ".gpuCount is -1"),
    "half a GPU": ({**ONE, "gpuCount": 0.5}, ".gpuCount is 0.5"),
    "too many": ({**ONE, "gpuCount": 10**30}, ".gpuCount is 1000"),
    "another metric": ({**ONE, "metric": "cost"}, ".metric is 'cost'; it must be latency or throughput"),
    "another precision": ({**ONE, "precision": "fp7"}, ".precision is 'fp7'; it must be auto, bf16"),
    "a GPU that is a number": ({**ONE, "gpuModel": 300}, ".gpuModel is 300; it must be a string"),
}


@pytest.mark.parametrize("what", BAD_ENTRIES)
def test_an_invalid_deployment_is_ignored_and_reported_with_path_and_value(what):
    bad, message = BAD_ENTRIES[what]
    found = read_metadata(labels([ONE, bad, ONE]))
    assert len(found.deployments) == 2
    (problem,) = found.problems
    assert message in problem
    assert "recommendedDeployments[1]" in problem


BAD_LABELS = {
    "not JSON": ("{'gpuModel': 'MI300X'}", "is not JSON"),
    "empty": ("", "is not JSON"),
    "an object": (json.dumps(ONE), "must be a list"),
    "a number": ("1", "must be a list"),
    "null": ("null", "must be a list"),
    "deep": ("[" * 100_000, "is not JSON"),
    "thousands of digits": ("[" + "9" * 10_000 + "]", "is not JSON"),
    "too long": ("[" + " " * MAX_LABEL + "]", "the maximum is"),
    "escape characters": ('"\x1b[2J', "is not JSON"),
}


@pytest.mark.parametrize("what", BAD_LABELS)
def test_an_invalid_label_is_reported_and_the_name_is_kept(what):
    text, message = BAD_LABELS[what]
    found = read_metadata(labels(text, canonicalName="org/model"))
    assert found.deployments == ()
    (problem,) = found.problems
    assert message in problem
    assert problem.isprintable()
    assert len(problem) < 400
    assert found.canonical_name == "org/model"


def test_an_empty_list_is_valid():
    found = read_metadata(labels([]))
    assert (found.is_aim, found.deployments, found.problems) == (True, (), ())


def test_only_the_first_problems_are_reported():
    found = read_metadata(labels([1] * 100))
    assert len(found.problems) == 6
    assert found.problems[-1] == "and 95 more"


def test_deployments_beyond_the_limits_of_a_status_are_ignored_and_reported():
    found = read_metadata(labels([ONE] * (MAX_DEPLOYMENTS + 1)))
    assert len(found.deployments) == MAX_DEPLOYMENTS
    assert str(MAX_DEPLOYMENTS + 1) in found.problems[0]
    wordy = {**ONE, "description": "<" * 4096}
    found = read_metadata(labels([wordy] * 100))
    assert 0 < len(found.deployments) < 100
    assert len(canonical_json(found.to_json())) * 6 <= MAX_STORED_BYTES * 1.1
    assert "bytes" in found.problems[0]


def test_surrogates_and_control_characters_are_replaced():
    text = '[{"gpuModel": "MI300X\\ud800", "description": "\\u001b[2J\\u0000\\ud83d"}]'
    found = read_metadata(labels(text, canonicalName="a\udc80\x07b"))
    canonical_json(found.to_json())
    assert found.canonical_name == "a\ufffd\ufffdb"
    assert "\x1b" not in str(found.to_json())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*ONE, "profileId", "description"]) | st.text(), inner, max_size=7)
    ),
    max_leaves=30,
)


def _fits(found) -> None:
    """Check the constraints of the CRD."""
    status = {"imageMetadata": found.to_json()}
    canonical_json(status)
    view = MODELS.view.model_validate({"spec": {"image": "x"}, "status": status})
    metadata = view.status.image_metadata
    assert metadata is not None
    for item in (metadata, *metadata.recommended_deployments, metadata.oci or OciMetadata()):
        for name, field in type(item).model_fields.items():
            value, limits = getattr(item, name), field.json_schema_extra
            if isinstance(value, str) and isinstance(limits, dict) and "maxLength" in limits:
                assert len(value) <= limits["maxLength"], name
            if name == "gpu_count" and value is not None:
                assert 0 <= value < 2**31


@given(JSON, st.text(max_size=2000))
def test_any_json_results_in_a_valid_status(value, name):
    _fits(read_metadata(labels([value, value, ONE], canonicalName=name)))
    _fits(read_metadata(labels(value if isinstance(value, list) else [value])))


@given(st.dictionaries(st.sampled_from([NEW + "canonicalName", OLD + "recommendedDeployments", NEW + "recommendedDeployments", "org.opencontainers.image.title"]) | st.text(), st.text(alphabet=st.characters())))  # fmt: skip
def test_any_labels_result_in_a_valid_status(found):
    _fits(read_metadata(found))


def test_invalid_labels_without_a_valid_deployment_are_a_failed_reading():
    failed = judge_labels("aim:1", "sha256:x", labels("nonsense"))
    assert isinstance(failed, FailedReading)
    assert failed.reason == "MalformedMetadata"
    assert "aim:1" in failed.message
    some = judge_labels("aim:1", "sha256:x", labels([ONE, 1]))
    assert isinstance(some, Reading)
    assert isinstance(judge_labels("aim:1", "sha256:x", {}), Reading)
