"""The decisions of the download program: what a source means, what differs, and the reasons of failures.

``make test-downloads`` runs the program with the real libraries.
"""

from __future__ import annotations

import errno
import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.downloader import program
from aimctl.downloader.program import Failure, File, differs, model_of, objects_of, reason_of, summary

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("source", "meaning"),
    [
        ("hf://org/model", ("org/model", None, "")),
        ("hf://gpt2", ("gpt2", None, "")),
        ("hf://org/model/", ("org/model", None, "")),
        ("hf://org/model:v1", ("org/model", "v1", "")),
        ("hf://org/model@v1/a/b.bin", ("org/model", "v1", "a/b.bin")),
        ("hf://org/model:/a", ("org/model", None, "a")),
        ("hf://org/model:refs/pr/3", ("org/model", "refs/pr/3", "")),
        ("hf://org/model:refs/convert/parquet/a", ("org/model", "refs/convert/parquet", "a")),
        ("hf://", ("", None, "")),
    ],
)
def test_a_source_names_a_model_a_revision_and_a_path(
    source: str, meaning: tuple[str, str | None, str]
) -> None:
    assert model_of(source) == meaning


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", {"a/b", "a/c/d", "ab", "e"}),
        ("a", {"b", "c/d"}),
        ("a/", {"b", "c/d"}),
        ("a/b", {"b"}),
        ("a/c", {"d"}),
        ("ab", {"ab"}),
        ("b", set()),
    ],
)
def test_a_path_in_a_bucket_is_an_object_or_a_folder_but_not_the_beginning_of_a_name(
    path: str, names: set[str]
) -> None:
    items = [{"Key": key} for key in ("a/", "a/b", "a/c/d", "ab", "e")]
    assert objects_of(path, items).keys() == names


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/./b", "a/..", "", ".", "a\0b"])
def test_a_name_that_leads_outside_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(Failure, match="cannot be used"):
        File(name, 1)


def test_a_file_without_a_size_cannot_be_verified() -> None:
    with pytest.raises(Failure, match="no size for a"):
        File("a", None)


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("sha256", hashlib.sha256(b"abc").hexdigest()),
        ("md5", hashlib.md5(b"abc").hexdigest()),
        ("git", "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"),
    ],
)
def test_a_file_is_compared_by_size_and_hash(tmp_path: Path, kind: str, digest: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert differs(path, 3, (kind, digest)) == ""
    assert differs(path, 3, None) == ""
    assert "3 bytes instead of 4" in differs(path, 4, (kind, digest))
    path.write_bytes(b"abd")
    assert f"{kind} hash" in differs(path, 3, (kind, digest))


def http_error(status: int) -> Exception:
    error = Exception("of the server")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]  # as the libraries do
    return error


def s3_error(code: str, status: int) -> Exception:
    error = Exception("of the bucket")
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error.response = response  # type: ignore[attr-defined]  # as botocore does
    return error


def class_named(name: str, base: type[Exception] = Exception) -> Exception:
    error: Exception = type(name, (base,), {})("text")
    return error


ERRORS: list[tuple[str, Exception, str]] = [
    *((f"{status}", http_error(status), "AccessDenied") for status in (401, 403)),
    *((f"{status}", http_error(status), "SourceNotFound") for status in (404, 410)),
    ("429", http_error(429), "RateLimited"),
    *((f"{status}", http_error(status), "SourceUnavailable") for status in (408, 500, 502, 503, 504, 529)),
    *((f"{status}", http_error(status), "DownloadFailed") for status in (400, 416)),
    ("full", OSError(errno.ENOSPC, "full"), "VolumeFull"),
    ("quota", OSError(errno.EDQUOT, "quota"), "VolumeFull"),
    ("read-only", OSError(errno.EROFS, "read-only"), "DownloadFailed"),
    ("refused", ConnectionRefusedError(111, "refused"), "SourceUnavailable"),
    ("time-out", TimeoutError("late"), "SourceUnavailable"),
    ("offline", class_named("OfflineModeIsEnabled", ConnectionError), "DownloadFailed"),
    ("name", class_named("HFValidationError", ValueError), "SourceNotFound"),
    ("credentials", class_named("NoCredentialsError"), "AccessDenied"),
    ("NoSuchKey", s3_error("NoSuchKey", 404), "SourceNotFound"),
    ("ExpiredToken", s3_error("ExpiredToken", 400), "AccessDenied"),
    ("SlowDown", s3_error("SlowDown", 503), "RateLimited"),
    ("InternalError", s3_error("InternalError", 500), "SourceUnavailable"),
    ("changed", s3_error("PreconditionFailed", 412), "VerificationFailed"),
    ("other", RuntimeError("other"), "DownloadFailed"),
]


@pytest.mark.parametrize(("error", "reason"), [item[1:] for item in ERRORS], ids=[item[0] for item in ERRORS])
def test_the_cause_of_an_error_determines_the_reason(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
    outer = class_named("LocalEntryNotFoundError", FileNotFoundError)
    outer.__cause__ = error
    assert reason_of(outer) == reason


def test_a_summary_is_one_line_about_the_cause() -> None:
    outer, cause = class_named("LocalEntryNotFoundError"), http_error(503)
    outer.__cause__ = cause
    assert summary(outer) == "HTTP status 503: Exception: of the server"
    assert summary(ValueError("two\nlines " + "x" * 9000)).count("\n") == 0
    assert len(summary(ValueError("x" * 9000))) < 700


class Store:
    """A store whose transfers end as specified: with an error, with a difference, or well."""

    def __init__(self, *ends: Exception | str, present: bool = False) -> None:
        self.ends, self.present = list(ends), present
        self.fetched: list[bool] = []

    def has(self, _file: File) -> bool:
        return self.present

    def fetch(self, _file: File, *, afresh: bool) -> str:
        self.fetched.append(afresh)
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    found: list[float] = []
    clock: Any = SimpleNamespace(sleep=found.append)
    monkeypatch.setattr(program, "time", clock)
    return found


@pytest.mark.parametrize(
    ("ends", "fetched"),
    [
        ([""], [False]),
        ([http_error(503), ""], [False, False]),
        ([TimeoutError(), "short", ""], [False, False, True]),
        ([http_error(416), ""], [False, True]),
    ],
    ids=["at once", "after an error", "after a difference", "after a partial file that is too long"],
)
def test_a_broken_transfer_is_tried_three_times(
    pauses: list[float], ends: list[Exception | str], fetched: list[bool]
) -> None:
    store = Store(*ends)
    program.obtain(store, File("a", 1))
    assert store.fetched == fetched
    assert pauses == [2, 8][: len(fetched) - 1]


@pytest.mark.parametrize(
    ("ends", "reason", "tries"),
    [
        ([http_error(403)], "AccessDenied", 1),
        ([http_error(429)], "RateLimited", 1),
        ([OSError(errno.ENOSPC, "full")], "VolumeFull", 1),
        ([http_error(503)] * 3, "SourceUnavailable", 3),
        (["short"] * 3, "VerificationFailed", 3),
    ],
    ids=["denied", "limited", "full", "away", "different"],
)
def test_a_file_that_cannot_be_downloaded_is_a_failure(
    pauses: list[float], ends: list[Exception | str], reason: str, tries: int
) -> None:
    store = Store(*ends)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the reason is what counts
        program.obtain(store, File("a", 1))
    assert reason_of(raised.value) == reason
    assert len(store.fetched) == tries


def test_a_file_that_the_folder_has_is_not_downloaded() -> None:
    store = Store(present=True)
    program.obtain(store, File("a", 1))
    assert store.fetched == []
