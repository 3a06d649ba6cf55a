import json
import math

import pytest

from aimctl.devcluster.node.programs import ContainerCall
from aimctl.simulation.catalogue import Catalogue, CatalogueError

DRY_RUN = ("dry-run", "--format=json")


def run(image, env=None, *, args=DRY_RUN, secret_env=(), catalogue=None, restarts=0):
    entry = (catalogue or Catalogue.default()).entry(image, args)
    assert entry is not None, image
    return entry.run(
        ContainerCall(image, args=args, env=env or {}, secret_env=frozenset(secret_env), restarts=restarts)
    )


def test_a_discovery_answer_depends_on_the_environment():
    env = {
        "AIM_METRIC": "throughput",
        "AIM_PRECISION": "fp8",
        "AIM_GPU_MODEL": "MI325X",
        "AIM_GPU_COUNT": "4",
    }
    result = run("ghcr.io/example/aim-meta-llama-3-8b:0.4", env)
    (entry,) = json.loads(result.log_at_end)
    assert entry["profile"]["metadata"] == {
        "engine": "vllm",
        "gpu": "MI325X",
        "precision": "fp8",
        "gpu_count": 4,
        "metric": "throughput",
        "type": "optimized",
    }
    assert entry["profile"]["engine_args"]["tensor-parallel-size"] == 4
    assert entry["models"][0] == {
        "name": "meta-llama/Llama-3.1-8B-Instruct",
        "source": "hf://meta-llama/Llama-3.1-8B-Instruct",
        "size_gb": 16.0,
    }
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ("MI300X", 1, "fp16", "latency")),
        ({"AIM_PRECISION": "auto", "AIM_GPU_COUNT": "0"}, ("MI300X", 1, "fp16", "latency")),
        ({"AIM_GPU_COUNT": "two", "AIM_PRECISION": "int4"}, ("MI300X", 1, "int4", "latency")),
    ],
)
def test_missing_or_invalid_variables_take_the_defaults_of_the_entry(env, expected):
    (entry,) = json.loads(run("aim-whatever:1", env).log_at_end)
    metadata = entry["profile"]["metadata"]
    assert (metadata["gpu"], metadata["gpu_count"], metadata["precision"], metadata["metric"]) == expected
    assert entry["profile"]["model"] == "aim-whatever"


def test_a_gpu_without_profile_fails_and_the_log_lists_the_profiles():
    result = run("aim-qwen3-32b:1", {"AIM_GPU_MODEL": "A100"})
    assert result.exit_code == 1
    assert b"no profile for GPU A100" in result.log_at_start
    assert b"MI300X" in result.log_at_start


def test_an_aim_image_without_dry_run_serves_until_stopped():
    assert run("aim-qwen3-32b:1", args=("serve",)).duration_seconds == math.inf


def test_a_required_variable_must_come_from_a_secret():
    refused = run("aim-gated:1", {"HF_TOKEN": "plain"})
    assert refused.exit_code == 1
    assert b"HF_TOKEN is not set from a secret" in refused.log_at_start
    assert run("aim-gated:1", {"HF_TOKEN": "x"}, secret_env=["HF_TOKEN"]).exit_code == 0


@pytest.mark.parametrize(
    ("pattern", "image", "fits"),
    [
        ("aim-llama*", "ghcr.io/org/aim-llama-8b:0.4", True),
        ("aim-llama-8b", "ghcr.io/org/aim-llama-8b:0.4", True),
        ("aim-llama-8b", "aim-llama-8b@sha256:abc", True),
        ("aim-llama-8b:0.4", "registry:5000/org/aim-llama-8b:0.4", True),
        ("aim-llama-8b:0.4", "aim-llama-8b:0.5", False),
        ("ghcr.io/org/*", "ghcr.io/org/x:1", True),
        ("ghcr.io/org/*", "quay.io/org/x:1", False),
        ("registry:5000/org/x", "registry:5000/org/x:1", True),
    ],
)
def test_a_glob_matches_the_whole_reference_or_its_last_segment(pattern, image, fits):
    catalogue = Catalogue.of({"images": [{"image": pattern}]})
    assert (catalogue.entry(image) is not None) is fits


def test_the_first_entry_whose_globs_match_applies():
    catalogue = Catalogue.of(
        {"images": [{"image": "x", "args": "*--fail*", "fail": "crash"}, {"image": "x"}, {"image": "*"}]}
    )
    assert run("x", args=("run", "--fail"), catalogue=catalogue).exit_code == 1
    assert run("x", args=("run",), catalogue=catalogue).exit_code == 0


def test_an_image_without_entry_does_not_exist():
    assert Catalogue.default().behaviour(ContainerCall("ghcr.io/nobody/nothing:1")) is None


def test_an_extension_precedes_the_existing_entries():
    catalogue = Catalogue.default().extended({"image": "aim-*", "fail": "crash", "exit_code": 9})
    assert run("aim-qwen3-32b:1", catalogue=catalogue).exit_code == 9


def test_fail_first_fails_the_given_number_of_runs():
    catalogue = Catalogue.of({"images": [{"image": "x", "fail_first": 2}]})
    codes = [run("x", catalogue=catalogue, restarts=number).exit_code for number in range(4)]
    assert codes == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (
            {"image": "x", "fail": "crsh"},
            "images[0].fail: 'crsh' cannot be used: input should be 'image-not-found'",
        ),
        ({"image": "x", "colour": 1}, "images[0].colour: unknown field (value 1): remove it"),
        ({}, "images[0].image: is missing: add it"),
        ({"image": "x", "exit_code": 300}, "images[0].exit_code: 300 cannot be used"),
        ({"image": "x", "duration_seconds": -1}, "images[0].duration_seconds: -1 cannot be used"),
        ({"image": "x", "discover": {}, "stdout": "y"}, "has both discover and stdout: remove one"),
        ({"image": "x", "fail": "crash", "exit_code": 0}, "fail: crash with exit_code 0: use 1 to 255"),
        ({"image": "x", "discover": {"gpu_count": 0}}, "images[0].discover.gpu_count: 0 cannot be used"),
    ],
)
def test_an_invalid_field_is_named_with_value_and_remedy(entry, complaint):
    with pytest.raises(CatalogueError) as caught:
        Catalogue.of({"images": [entry]}, name="mine.yaml")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("mine.yaml: ")


@pytest.mark.parametrize("text", ["- a list", "images: [", "\t"])
def test_a_text_that_is_not_a_catalogue_is_rejected(text):
    with pytest.raises(CatalogueError, match=r"mine.yaml is"):
        Catalogue.parse(text, name="mine.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CatalogueError, match=r"nowhere\.yaml cannot be read"):
        Catalogue.load(tmp_path / "nowhere.yaml")


def test_a_json_or_yaml_file_is_loaded(tmp_path):
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps({"images": [{"image": "x", "log_before": ["hello"]}]}))
    assert run("x", catalogue=Catalogue.load(path)).log_at_start == b"hello\n"


def test_the_invalid_entries_have_the_output_of_their_names():
    def out(tag):
        return run(f"example/hostile:{tag}").log_at_end

    assert b"NaN" in out("nan")
    assert out("deep").startswith(b"[" * 1000)
    assert out("empty") == b"[]\n"
    assert len(out("huge")) > 15_000_000
    assert json.loads(out("wrong-types"))[0]["filename"] == 7
    assert isinstance(json.loads(out("no-array")), dict)
    assert json.loads(out("scheme"))[0]["models"][0]["source"].startswith("ftp://")
    assert out("silent") == b""
    with pytest.raises(ValueError, match="Invalid control character"):
        json.loads(out("cut"))


def test_the_size_of_a_source_is_that_in_the_answers():
    catalogue = Catalogue.default()
    assert catalogue.size_gb("hf://meta-llama/Llama-3.1-8B-Instruct") == 16.0
    assert catalogue.size_gb("hf://Qwen/Qwen3-32B") == 65.5
    assert catalogue.size_gb("hf://nobody/knows-it") is None


@pytest.mark.parametrize(
    ("entry", "field", "words"),
    [
        ({}, "downloads[0].source", "is missing"),
        ({"source": "*", "fail": "sometimes"}, "downloads[0].fail", "'sometimes' cannot be used"),
        ({"source": "*", "fail_at": 1}, "downloads[0].fail_at", "less than 1"),
        ({"source": "*", "tokens": ["x"]}, "downloads[0]", "tokens without needs_token"),
        ({"source": "*", "speed": 3}, "downloads[0].speed", "unknown field"),
    ],
)
def test_an_invalid_download_entry_is_named(entry, field, words):
    with pytest.raises(CatalogueError) as caught:
        Catalogue.of({"downloads": [entry]})
    assert field in str(caught.value)
    assert words in str(caught.value)
