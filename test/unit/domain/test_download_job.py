"""The volume claim and the download Job: sizes, names, pod security, progress lines, and causes of failures."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.kinds import MODEL_CACHES
from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.caching.download_failure import LONGEST_PAUSE, explain, pause_after
from aimctl.domain.caching.download_job import (
    MOUNT_PATH,
    UNKNOWN_SIZE_BYTES,
    JobName,
    download_input,
    download_job,
    volume_bytes,
    volume_claim,
)
from aimctl.domain.caching.download_log import (
    own_output,
    parse_progress,
    parse_reason,
    parse_verified,
)
from aimctl.domain.jobs.outcome import Cause, Failed
from aimctl.downloader import program
from aimctl.kubetypes.quantity import MAX_BYTES
from support.things import make

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import AIMModelCache
    from aimctl.kubetypes import Object

LABELS = {"org/team": "a", "app.kubernetes.io/managed-by": "x"}
DNS_LABEL = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAMES = st.from_regex(r"\A[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?\Z")
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)


def progress_line(downloaded_bytes: int) -> bytes:
    """The line with which a download reports this number of bytes."""
    return b'{"aimctl":"progress","bytes":%d}\n' % downloaded_bytes


def cache(
    source: str = "hf://org/model", *, labels: dict[str, str] | None = None, rediscover: str = "", **spec: Any
) -> Object[AIMModelCache]:
    return make(
        "llama",
        "team",
        resource=MODEL_CACHES,
        uid="uid",
        labels=labels,
        annotations={"aim.silogen.ai/rediscover": rediscover} if rediscover else {},
        spec={"sourceURI": source, "size": "1Gi", **spec},
    )


def made(
    source: str = "hf://org/model", *, config: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    input_ = download_input(cache(source, **spec), RuntimeConfigSpec.model_validate(config or {}))
    name = JobName.make(1, volume_uid="v", input_hash=input_.hash)
    return download_job(cache(), input_, name, labels=LABELS)


def container(job: dict[str, Any]) -> dict[str, Any]:
    only: dict[str, Any]
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return only


def hash_of(*, requested: str = "", **fields: Any) -> str:
    return download_input(cache(**fields), RuntimeConfigSpec(), requested=requested).hash


# ---- the volume


@given(st.integers(0, MAX_BYTES), st.integers(0, 1000))
def test_a_volume_is_never_smaller_than_its_source_with_headroom(size: int, headroom: int) -> None:
    asked = volume_bytes(str(size), headroom)
    assert asked * 100 >= size * (100 + headroom)
    assert asked % 1024**2 == 0
    assert asked >= 1024**3


@pytest.mark.parametrize(
    ("size", "headroom", "claimed"),
    [
        ("16Gi", 10, "18023Mi"),
        ("10Gi", 10, "11Gi"),
        ("10Gi", 0, "10Gi"),
        ("2Mi", 10, "1Gi"),
        ("1e9", 100, "1908Mi"),
        ("0", 0, "64Gi"),
    ],
)
def test_a_claim_asks_for_size_and_headroom_in_whole_mebibytes(
    size: str, headroom: int, claimed: str
) -> None:
    claim = volume_claim(cache(), volume_bytes(size, headroom), None)
    assert claim["spec"]["resources"]["requests"]["storage"] == claimed


def test_a_source_of_unknown_size_gets_a_volume() -> None:
    assert volume_bytes("0", 10) >= UNKNOWN_SIZE_BYTES


@pytest.mark.parametrize("size", ["-1", "many", "9e30"])
def test_an_invalid_size_is_an_error_with_the_value(size: str) -> None:
    with pytest.raises(ValueError, match=re.escape(size)):
        volume_bytes(size, 10)


def test_the_claim_is_owned_by_its_cache_and_names_a_class_only_if_there_is_one() -> None:
    claim = volume_claim(cache(), 1024**3, "fast", labels=LABELS)
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["ownerReferences"][0]["uid"] == "uid"
    assert claim["metadata"]["ownerReferences"][0]["controller"] is True
    assert claim["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "aim",
        "app.kubernetes.io/component": "model-cache",
        "aim.silogen.ai/model-cache": "llama",
        "org/team": "a",
    }
    assert "storageClassName" not in volume_claim(cache(), 1024**3, None)["spec"]


# ---- the Job


def test_the_pod_fulfils_the_restricted_standard_and_has_a_termination_message() -> None:
    job = made()
    pod, only = job["spec"]["template"]["spec"], container(job)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"]["allowPrivilegeEscalation"] is False
    assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set().union(*pod["volumes"]) == {"name", "persistentVolumeClaim", "emptyDir"}
    assert only["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert pod["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimit"] == 0
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "llama"
    assert only["volumeMounts"][0]["mountPath"] == MOUNT_PATH


def test_own_labels_take_precedence_over_propagated_ones() -> None:
    labels = made()["metadata"]["labels"]
    assert labels["org/team"] == "a"
    assert labels["app.kubernetes.io/managed-by"] == "aim"
    assert labels["app.kubernetes.io/component"] == "download"
    pod = made()["spec"]["template"]["metadata"]
    no_sidecars = {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}
    assert (pod["labels"], pod["annotations"]) == (labels | no_sidecars, no_sidecars)


def test_variables_of_the_cache_replace_those_of_the_runtime_config() -> None:
    token = {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    job = made(
        config={"env": [{"name": "A", "value": "config"}, {"name": "B", "value": "config"}]},
        env=[token, {"name": "HF_HOME", "value": "/elsewhere"}],
    )
    env = {item["name"]: item.get("value", item.get("valueFrom")) for item in container(job)["env"]}
    assert env["A"] == "config"
    assert env["B"] == token["valueFrom"]
    assert env["HF_HOME"] == "/elsewhere"


@pytest.mark.parametrize("source", ["hf://org/model:v1/a/b.bin", "hf://gpt2", "s3://b/a/c"])
def test_every_source_is_downloaded_by_the_program_that_verifies_it(source: str) -> None:
    args = container(made(source))["args"]
    assert args[:4] == [source, MOUNT_PATH, "python3", "-c"]
    assert args[4].replace("$$", "$") == Path(program.__file__).read_text(encoding="utf-8")
    assert args[5:] == [source, MOUNT_PATH, "/dev/termination-log"]


def as_the_kubelet_expands(text: str) -> str:
    """``$(NAME)`` becomes the variable's value, ``$$`` a dollar sign; nothing else is touched."""
    return re.sub(r"\$(\$|\([^)]*\))", lambda found: "$" if found[1] == "$" else "<a secret>", text)


@pytest.mark.parametrize(
    "path", ["$(HF_TOKEN)", "$$(HF_TOKEN)", "$$$(HF_TOKEN)", "$", "$$", "a$b$(", "$)$(A)"]
)
@pytest.mark.parametrize("source", ["hf://org/{}", "hf://org/model/{}", "hf://{}", "s3://bucket/{}"])
def test_nothing_in_a_source_is_expanded_by_the_kubelet(source: str, path: str) -> None:
    uri = source.format(path)
    args = [as_the_kubelet_expands(item) for item in container(made(uri))["args"]]
    assert args[0] == uri
    assert "<a secret>" not in "".join(args)
    assert any(path in item for item in args[2:])


@given(NAMES, st.integers(1, 2**31 - 1), st.text(min_size=1, max_size=40), HEX)
def test_the_name_of_a_job_is_a_dns_label_that_can_be_parsed(
    cache_name: str, attempt: int, volume: str, digest: str
) -> None:
    name = JobName.make(attempt, volume_uid=volume, input_hash=digest)
    text = name.of(cache_name)
    assert len(text) <= 63
    assert DNS_LABEL.fullmatch(text)
    assert JobName.parse(text) == name


@given(st.text(max_size=80))
def test_other_names_are_not_parsed_as_download_jobs(text: str) -> None:
    found = JobName.parse(text)
    assert found is None or (text.startswith("download-") and found.attempt > 0)


def test_the_hash_depends_on_everything_that_determines_the_download_and_nothing_else() -> None:
    token = [{"name": "HF_TOKEN", "value": "a"}]
    hashes = [
        hash_of(),
        hash_of(source="hf://org/other"),
        hash_of(env=token),
        hash_of(modelDownloadImage="other:1"),
        hash_of(imagePullSecrets=[{"name": "s"}]),
        hash_of(requested="20Gi"),
        hash_of(rediscover="1"),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_of() == hash_of(labels={"a": "b"})
    assert hash_of() == hash_of(size="7Gi", storageClassName="x")


# ---- the script, run with the local sh


def run_script(folder: Path, *command: str) -> tuple[int, bytes]:
    script = container(made())["command"]
    assert script[:2] == ["/bin/sh", "-c"]
    out = folder / "out"
    with out.open("wb") as log:
        # The reporting loop outlives the script by its last sleep; in a container it does not.
        code = subprocess.run(
            [*script, "source", str(folder / "data"), *command], stdout=log, stderr=log, check=False
        ).returncode
    return code, out.read_bytes()


def test_the_script_runs_the_downloader_and_reports_what_is_on_the_volume(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    code, log = run_script(
        tmp_path, "sh", "-c", 'head -c 3000000 /dev/zero > "$1/file"', "sh", str(tmp_path / "data")
    )
    assert code == 0
    assert 3_000_000 <= (parse_progress(log) or 0) < 4_000_000


def test_the_script_ends_with_the_exit_code_and_the_last_output_of_the_downloader(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    code, log = run_script(tmp_path, "sh", "-c", "sleep 0.2; echo 'OSError: [Errno 28]' >&2; exit 3")
    assert code == 3
    assert log.splitlines()[-1] == b"OSError: [Errno 28]"
    assert parse_progress(log) is not None


def test_a_script_that_is_terminated_terminates_the_downloader_and_waits(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    body = f"trap 'echo > {ended}; exit 7' TERM; echo > {begun}; while :; do sleep 0.05; done"
    command = [*container(made())["command"], "source", str(tmp_path / "data"), "sh", "-c", body]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not begun.exists():
            assert process.poll() is None
        process.terminate()
        assert process.wait(10) == 7
    assert ended.exists()


# ---- progress


@given(st.integers(0, 2**63 - 1))
def test_a_progress_line_is_parsed_as_it_was_written(amount: int) -> None:
    assert parse_progress(b"INFO x\n" + progress_line(amount) + b"INFO y\n") == amount


@given(st.binary(max_size=4000))
def test_parsing_progress_never_raises(log: bytes) -> None:
    amount = parse_progress(log)
    assert amount is None or 0 <= amount < 2**63


@pytest.mark.parametrize(
    "line",
    [
        b'{"aimctl":"progress","bytes":-1}',
        b'{"aimctl":"progress","bytes":true}',
        b'{"aimctl":"progress","bytes":1.5}',
        b'{"aimctl":"progress","bytes":"7"}',
        b'{"aimctl":"progress","bytes":99999999999999999999}',
        b'{"aimctl":"progress"}',
        b'{"aimctl":"other","bytes":7}',
        b'["aimctl"]',
        b'"aimctl"' + b"[" * 200,
        b'{"aimctl":"progress","bytes":7',
        b'{"aimctl":"progress","bytes":7,"x":"' + b"x" * 300 + b'"}',
    ],
)
def test_an_invalid_progress_line_is_ignored(line: bytes) -> None:
    assert parse_progress(progress_line(5) + line + b"\n") == 5


def test_reports_are_removed_from_messages() -> None:
    log = b"one\n" + progress_line(5) + b"two\n" + progress_line(6)
    assert own_output(log) == b"one\ntwo\n"
    assert own_output(log + b'{"aimctl":"failed","reason":"RateLimited"}\n' + progress_line(7)) == b"two\n"


@pytest.mark.parametrize(
    ("log", "amount"),
    [
        (b'{"aimctl":"verified","files":2,"bytes":0}', 0),
        (b'{"aimctl":"verified","files":2,"bytes":9}\n{"aimctl":"verified","bytes":-1}', 9),
        (progress_line(5), None),
        (b'{"aimctl":"verified"}', None),
        (b"", None),
    ],
)
def test_the_verified_bytes_are_those_of_the_last_valid_report(log: bytes, amount: int | None) -> None:
    assert parse_verified(log) == amount


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (b'{"aimctl":"failed","reason":"A"}', "A"),
        (b'{"aimctl":"failed","reason":"A"}\n{"aimctl":"failed","reason":"unknown"}', "A"),
        (b'{"aimctl":"failed","reason":["A"]}', ""),
        (b'{"aimctl":"failed"}', ""),
        (b'{"aimctl":"verified","reason":"A"}', ""),
        (b'the hub says {"aimctl":"failed","reason":"A"}', ""),
    ],
)
def test_a_reported_reason_counts_only_if_it_is_a_known_one(log: bytes, reason: str) -> None:
    assert parse_reason(log, {"A", "B"}) == reason


# ---- failures


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [pause_after(failures).total_seconds() for failures in range(1, 100)]
    assert pauses[:4] == [30, 60, 120, 240]
    assert all(before <= after for before, after in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE.total_seconds() == 3600


@pytest.mark.parametrize("reason", ["SourceUnavailable", "RateLimited"])
def test_pauses_stay_below_a_minute_while_a_server_is_away(reason: str) -> None:
    pauses = [pause_after(failures, reason).total_seconds() for failures in range(1, 100)]
    assert pauses[:3] == [30, 40, 40]
    assert set(pauses) == {30, 40}


def test_pauses_grow_to_five_minutes_while_access_stays_denied() -> None:
    pauses = [
        pause_after(failures, "AccessDenied", denied=True).total_seconds() for failures in range(1, 100)
    ]
    assert pauses[:12] == [30, *[40] * 11]
    assert pauses[12:16] == [80, 160, 300, 300]
    assert pauses[-1] == 300


def test_a_source_that_does_not_exist_is_looked_for_once_an_hour() -> None:
    pauses = [pause_after(failures, "SourceNotFound").total_seconds() for failures in (1, 2, 4, 99)]
    assert pauses == [30, 60, 240, 3600]


@given(st.integers(-5, 10**9))
def test_a_pause_is_between_thirty_seconds_and_an_hour_for_any_number_of_failures(failures: int) -> None:
    assert 30 <= pause_after(failures).total_seconds() <= 3600


TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-creds", "key": "token"}}}


def explained(
    log: str,
    *,
    cause: Cause = Cause.CONTAINER,
    detail: str = "Error",
    env: tuple[dict[str, Any], ...] = (TOKEN,),
    message: str = "it ended with exit code 1",
) -> tuple[str, str]:
    found = explain(
        Failed(message, cause, detail),
        log.encode(),
        source="hf://org/model",
        claim="llama",
        requested="18Gi",
        env=env,
    )
    return found.reason, found.message


@pytest.mark.parametrize(
    ("log", "reason", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "VolumeFull", ["18 GiB", "spec.size", "'llama'"]),
        ("OSError: [Errno 122] Disk quota exceeded", "VolumeFull", ["full"]),
        (
            "GatedRepoError: 403 Client Error. (Request ID: x)\n\nAccess to model is restricted",
            "AccessDenied",
            [],
        ),
        ("401 Client Error: Unauthorized for url", "AccessDenied", ["HF_TOKEN", "'hf-creds'", "'token'"]),
        ("\x1b[1;36m401\x1b[0m Client Error: \x1b[31mUnauthorized\x1b[0m", "AccessDenied", []),
        (
            "RepositoryNotFoundError: 401 Client Error.\n\nRepository Not Found.\nMake sure you are authenticated.",
            "AccessDenied",
            ["HF_TOKEN"],
        ),
        (
            "botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation",
            "AccessDenied",
            [],
        ),
        ("An error occurred (AccessDenied) when calling the ListObjectsV2 operation", "AccessDenied", []),
        ("botocore.exceptions.NoCredentialsError: Unable to locate credentials", "AccessDenied", []),
        ("404 Client Error: Entry Not Found for url", "SourceNotFound", ["correct", "hf://org/model"]),
        ("RuntimeError: Failed to fetch model. No model found in x", "SourceNotFound", []),
        ("An error occurred (NoSuchBucket) when calling the ListObjects operation", "SourceNotFound", []),
        ("socket.gaierror: Name or service not known", "SourceUnavailable", ["exit code 1", "tried again"]),
        ("requests.exceptions.ConnectionError: Max retries exceeded", "SourceUnavailable", []),
        ("httpx.ConnectTimeout: timed out", "SourceUnavailable", []),
        ("HfHubHTTPError: 429 Client Error: Too Many Requests for url", "RateLimited", ["rate of requests"]),
        ("HfHubHTTPError: Server error '503 Service Unavailable' for url", "SourceUnavailable", []),
        (
            "HfHubHTTPError: 502 Server Error: Bad Gateway\nLocalEntryNotFoundError: x",
            "SourceUnavailable",
            [],
        ),
        ("LocalEntryNotFoundError: Got: HfHubHTTPError: 429 Too Many Requests", "RateLimited", []),
        ("LocalEntryNotFoundError: Got: ConnectError: [Errno 111]", "SourceUnavailable", []),
        ("HfHubHTTPError: 403 Forbidden: x\nLocalEntryNotFoundError: y", "AccessDenied", []),
        ("RepositoryNotFoundError: 404 Client Error.\nIf this is a gated repo", "SourceNotFound", []),
        ("An error occurred (SlowDown) when calling the GetObject operation", "RateLimited", []),
        ('404 Client Error\n{"aimctl":"failed","reason":"RateLimited"}', "RateLimited", []),
        ('a has 3 bytes\n{"aimctl":"failed","reason":"VerificationFailed"}', "VerificationFailed", ["lists"]),
        ('404 Client Error\n{"aimctl":"failed","reason":"Invented"}', "SourceNotFound", []),
        ("read 401 of 403 blocks of part 404", "DownloadFailed", []),
        ("", "DownloadFailed", []),
    ],
)
def test_the_last_output_of_a_download_determines_the_reason(log: str, reason: str, words: list[str]) -> None:
    found, message = explained(log)
    assert found == reason
    for word in words:
        assert word in message


def test_the_last_line_of_a_long_log_is_complete_behind_the_remedy() -> None:
    last = "ConnectionError: Max retries exceeded: Temporary failure in name resolution"
    text = f"the download container ended with exit code 1. Last lines of its log: INFO:root:Initializing; {last}"
    _, message = explained(last, message=text)
    assert "tried again" in message
    assert message.endswith(last)


@pytest.mark.parametrize(
    ("cause", "detail", "reason"),
    [
        (Cause.IMAGE, "ErrImagePull", "ImagePullFailed"),
        (Cause.SETUP, "CreateContainerConfigError", "ContainerSetupFailed"),
        (Cause.CONTAINER, "OOMKilled", "OutOfMemory"),
        (Cause.POD, "Evicted", "Evicted"),
        (Cause.POD, "not a word!", "DownloadFailed"),
        (Cause.JOB, "DeadlineExceeded", "DownloadFailed"),
    ],
)
def test_the_point_of_failure_determines_the_reason(cause: Cause, detail: str, reason: str) -> None:
    assert explained("401 Client Error", cause=cause, detail=detail)[0] == reason


def test_an_error_long_before_the_end_is_not_the_cause() -> None:
    log = "404 Client Error: optional file\n" + "INFO downloaded a part\n" * 100 + "ConnectionError: reset\n"
    assert explained(log)[0] == "SourceUnavailable"


def test_a_denied_download_without_a_token_reports_which_one_is_missing() -> None:
    assert "no HF_TOKEN" in explained("401 Client Error", env=())[1]
    assert "HF_TOKEN from env" in explained("401 Client Error", env=({"name": "HF_TOKEN", "value": "x"},))[1]


def test_a_token_is_never_shown() -> None:
    assert "hunter2" not in explained("401 Client Error", env=({"name": "HF_TOKEN", "value": "hunter2"},))[1]


@given(st.binary(max_size=3000), st.sampled_from(list(Cause)), st.text(max_size=20))
def test_an_explanation_never_raises_and_is_bounded(log: bytes, cause: Cause, detail: str) -> None:
    failed = Failed("x" * 3000, cause, detail)
    found = explain(failed, log, source="hf://a/b", claim="c", requested="1Gi", env=(TOKEN,))
    assert re.fullmatch("[A-Za-z][A-Za-z0-9]{0,63}", found.reason)
    assert 0 < len(found.message) <= 2048
