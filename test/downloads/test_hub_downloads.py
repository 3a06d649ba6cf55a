"""Download pods with real versions of huggingface_hub, against a hub on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.model_hub import COMMIT, Fault, Large, ModelHub, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.download_runs import DownloadPod

WEIGHTS = Large(bytes(range(251)) * 4000)
FILES = {
    "config.json": b"{}",
    "empty.txt": b"",
    "model.safetensors": WEIGHTS,
    "onnx/model.onnx": Large(b"onnx"),
}
SIZE = sum(map(len, FILES.values()))
MORE = Large(bytes(range(251)) * 100_000)
"""More than the libraries receive before they write to the volume."""
PARTIAL = {".cache/huggingface/download/model-00001-of-00004.safetensors.incomplete": b"x" * 100}


@pytest.fixture
def hub(pod: DownloadPod) -> Iterator[ModelHub]:
    repositories = {
        "org/model": Repository(FILES, {"v1": {"old.txt": b"1"}, "refs/pr/3": {"old.txt": b"1"}}),
        "gpt2": Repository(moved_to="openai-community/gpt2"),
        "openai-community/gpt2": Repository({"config.json": b"{}"}),
        "org/gated": Repository({"a": b"a"}, gate="good"),
        "org/private": Repository({"a": b"a"}, token="good"),
        "org/without-hashes": Repository({"a": b"abc"}, hashes=False),
        "org/wrong-size": Repository({"a": b"abc"}, sizes={"a": 5}),
        "org/empty": Repository({}),
    }
    with ModelHub(repositories) as hub:
        pod.env["HF_ENDPOINT"] = hub.url
        yield hub


# ---- what is downloaded


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("hf://org/model", set(FILES)),
        (f"hf://org/model:{COMMIT}", set(FILES)),
        ("hf://org/model:v1", {"old.txt"}),
        ("hf://org/model@v1", {"old.txt"}),
        ("hf://org/model:refs/pr/3/old.txt", {"old.txt"}),
        ("hf://org/model/config.json", {"config.json"}),
        ("hf://org/model/onnx", {"onnx/model.onnx"}),
        ("hf://org/model:main/onnx/", {"onnx/model.onnx"}),
        ("hf://gpt2", {"config.json"}),
        ("hf://org/without-hashes", {"a"}),
    ],
)
def test_the_files_of_a_source_are_downloaded_and_verified(
    hub: ModelHub, pod: DownloadPod, source: str, files: set[str]
) -> None:
    outcome = pod.run(source)
    assert outcome.code == 0, outcome.log
    assert pod.files() == files
    assert outcome.verified == sum(len(pod.content(name)) for name in files)


def test_other_files_do_no_harm_and_correct_ones_are_not_downloaded_again(
    hub: ModelHub, pod: DownloadPod
) -> None:
    pod.put({"lost+found/x": b"x", "other.bin": b"x", "model.safetensors": WEIGHTS, **PARTIAL})
    outcome = pod.run("hf://org/model")
    assert outcome.code == 0, outcome.log
    assert outcome.verified == SIZE
    assert all(pod.content(name) == content for name, content in FILES.items())
    assert not any("model.safetensors" in path for _, path, _ in hub.requests)


@pytest.mark.parametrize("content", [b"", WEIGHTS[:-1], WEIGHTS + b"x", bytes(len(WEIGHTS))])
def test_a_file_of_the_wrong_size_or_content_is_downloaded_again(
    hub: ModelHub, pod: DownloadPod, content: bytes
) -> None:
    assert pod.run("hf://org/model").code == 0
    pod.put({"model.safetensors": content})
    assert pod.run("hf://org/model").code == 0
    assert pod.content("model.safetensors") == WEIGHTS


def test_a_file_of_another_revision_is_replaced(hub: ModelHub, pod: DownloadPod) -> None:
    assert pod.run("hf://org/model").code == 0
    hub.repositories["org/model"].files = {**FILES, "config.json": b"[]"}
    assert pod.run("hf://org/model").code == 0
    assert pod.content("config.json") == b"[]"


# ---- a hub that does not let the source be listed


@pytest.mark.parametrize(
    "found",
    [{}, PARTIAL, {"lost+found/x": b""}, {"config.json": b"{}"}, FILES],
    ids=["nothing", "partial", "lost+found", "a file", "everything"],
)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("list", 401), "AccessDenied"),
        (Fault("list", 401, headers={"X-Error-Code": "RepoNotFound"}), "AccessDenied"),
        (Fault("list", 403, headers={"X-Error-Code": "GatedRepo"}), "AccessDenied"),
        (Fault("list", 403, headers={"X-Error-Message": "Enable access to gated models"}), "AccessDenied"),
        (Fault("list", 404), "SourceNotFound"),
        (Fault("list", 404, headers={"X-Error-Code": "RepoNotFound"}), "SourceNotFound"),
        (Fault("list", 404, headers={"X-Error-Code": "RevisionNotFound"}), "SourceNotFound"),
        (Fault("list", 429), "RateLimited"),
        (Fault("list", 500), "SourceUnavailable"),
        (Fault("list", 502), "SourceUnavailable"),
        (Fault("list", 503), "SourceUnavailable"),
        (Fault("list", 504), "SourceUnavailable"),
    ],
    ids=lambda value: f"{value.status} {' '.join(value.headers)}" if isinstance(value, Fault) else value,
)
def test_a_source_that_cannot_be_listed_is_a_failure_whatever_is_on_the_volume(
    hub: ModelHub, pod: DownloadPod, fault: Fault, reason: str, found: dict[str, bytes]
) -> None:
    pod.put(found)
    hub.faults.append(fault)
    outcome = pod.run("hf://org/model")
    assert outcome.code == 1
    assert outcome.reason == reason
    assert outcome.message == ""


@pytest.mark.parametrize("source", ["hf://org/model", "hf://org/model/onnx", "hf://gpt2"])
def test_a_hub_that_cannot_be_reached_is_unavailable(pod: DownloadPod, source: str) -> None:
    pod.put({"onnx/model.onnx.part": b"x", **PARTIAL})
    outcome = pod.run(source, HF_ENDPOINT="http://127.0.0.1:1")
    assert (outcome.code, outcome.reason) == (1, "SourceUnavailable")
    outcome = pod.run(source, HF_ENDPOINT="http://hub.invalid")
    assert (outcome.code, outcome.reason) == (1, "SourceUnavailable")


@pytest.mark.parametrize(
    ("source", "token", "reason"),
    [
        ("hf://org/gated", "", "AccessDenied"),
        ("hf://org/gated", "bad", "AccessDenied"),
        ("hf://org/private", "", "AccessDenied"),
        ("hf://org/private", "bad", "SourceNotFound"),
        ("hf://org/none", "good", "SourceNotFound"),
        ("hf://org/model:none", "", "SourceNotFound"),
        ("hf://org/model/none.txt", "", "SourceNotFound"),
        ("hf://org/model/onn", "", "SourceNotFound"),
        ("hf://org/empty", "", "SourceNotFound"),
        ("hf://../..", "", "SourceNotFound"),
        ("hf://org/wrong-size", "", "VerificationFailed"),
    ],
)
def test_a_refused_source_is_a_failure_with_its_reason(
    hub: ModelHub, pod: DownloadPod, source: str, token: str, reason: str
) -> None:
    outcome = pod.run(source, **({"HF_TOKEN": token} if token else {}))
    assert (outcome.code, outcome.reason) == (1, reason)


@pytest.mark.parametrize("source", ["hf://org/gated", "hf://org/private"])
def test_the_right_token_opens_a_source(hub: ModelHub, pod: DownloadPod, source: str) -> None:
    assert pod.run(source, HF_TOKEN="good").code == 0


def test_offline_mode_is_reported_as_such(hub: ModelHub, pod: DownloadPod) -> None:
    pod.put(FILES)
    outcome = pod.run("hf://org/model", HF_HUB_OFFLINE="1")
    assert (outcome.code, outcome.reason) == (1, "DownloadFailed")
    assert "HF_HUB_OFFLINE" in outcome.log


# ---- transfers that break


def test_a_broken_transfer_is_continued(hub: ModelHub, pod: DownloadPod) -> None:
    hub.repositories["org/model"].files = {"model.safetensors": MORE}
    hub.faults.append(Fault("content", cut=22_000_000, times=1))
    outcome = pod.run("hf://org/model/model.safetensors")
    assert outcome.code == 0, outcome.log
    assert pod.content("model.safetensors") == MORE
    first, *others = [asked for _, _, asked in hub.of("/content/")]
    assert first == ""
    assert others
    assert all(int(asked.removeprefix("bytes=").removesuffix("-")) > 10_000_000 for asked in others)


@pytest.mark.parametrize("fault", [Fault("content", alter=True, times=1), Fault("content", 503, times=1)])
def test_altered_content_and_errors_of_the_content_server_are_tried_again(
    hub: ModelHub, pod: DownloadPod, fault: Fault
) -> None:
    hub.faults.append(fault)
    outcome = pod.run("hf://org/model/model.safetensors")
    assert outcome.code == 0, outcome.log
    assert pod.content("model.safetensors") == WEIGHTS


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("content", alter=True), "VerificationFailed"),
        (Fault("content", 503), "SourceUnavailable"),
        (Fault("content", 403), "AccessDenied"),
        (Fault("head", 404), "SourceNotFound"),
        (Fault("head", 403, headers={"X-Error-Code": "GatedRepo"}), "AccessDenied"),
    ],
    ids=["altered", "503", "403", "404", "gated"],
)
def test_a_file_that_cannot_be_downloaded_fails_the_download(
    hub: ModelHub, pod: DownloadPod, fault: Fault, reason: str
) -> None:
    hub.faults.append(fault)
    outcome = pod.run("hf://org/model/model.safetensors")
    assert (outcome.code, outcome.reason) == (1, reason)
    assert "model.safetensors" not in pod.files()


def test_a_partial_file_that_is_too_long_is_started_afresh(hub: ModelHub, pod: DownloadPod) -> None:
    hub.repositories["org/model"].files = {"model.safetensors": MORE}
    hub.faults += [Fault("content", cut=22_000_000, times=1), Fault("content", 403)]
    assert pod.run("hf://org/model/model.safetensors").code == 1
    # The newest version keeps no partial file after an error of the server.
    for partial in (pod.volume / ".cache/huggingface/download").glob("*.incomplete"):
        partial.write_bytes(bytes(MORE) * 2)
    hub.faults.clear()
    outcome = pod.run("hf://org/model/model.safetensors")
    assert outcome.code == 0, outcome.log
    assert pod.content("model.safetensors") == MORE


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside", "a//b", ".", "a/"])
def test_a_file_name_that_leads_outside_of_the_volume_is_refused(
    hub: ModelHub, pod: DownloadPod, name: str
) -> None:
    hub.repositories["org/model"].files = {name: b"x", "config.json": b"{}"}
    outcome = pod.run("hf://org/model")
    assert (outcome.code, outcome.reason) == (1, "DownloadFailed")
    assert repr(name) in outcome.log
    assert pod.files() == set()


def test_an_image_without_the_library_is_named_as_the_cause(pod: DownloadPod) -> None:
    outcome = pod.run("s3://bucket/model")
    assert (outcome.code, outcome.reason) == (1, "DownloadFailed")
    assert "boto3" in outcome.log
    assert "spec.modelDownloadImage" in outcome.log
