"""Download pods with boto3, against a server that implements the API of S3."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.download_runs import DownloadPod

pytestmark = pytest.mark.usefixtures("objects")

SETUP = """
s3.create_bucket(Bucket="models")
for key, size in {"m/a.bin": 3000000, "m/sub/b.bin": 1, "m/sub/": 0, "m/empty": 0, "m2/c": 2, "top": 3}.items():
    s3.put_object(Bucket="models", Key=key, Body=b"x" * size)
s3.put_object(Bucket="models", Key="kms/k", Body=b"secret", ServerSideEncryption="aws:kms")
made = s3.create_multipart_upload(Bucket="models", Key="big/x")
ids = {"Bucket": "models", "Key": "big/x", "UploadId": made["UploadId"]}
parts = [
    {"PartNumber": number, "ETag": s3.upload_part(PartNumber=number, Body=bytes([number]) * 6000000, **ids)["ETag"]}
    for number in (1, 2)
]
s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **ids)
"""
M = {"a.bin": 3000000, "sub/b.bin": 1, "empty": 0}


@pytest.fixture(scope="module")
def prepared() -> list[bool]:
    return []


@pytest.fixture
def objects(prepared: list[bool], in_s3: Callable[[str], Any]) -> None:
    """The objects, which no test changes."""
    if not prepared:
        in_s3(SETUP)
        prepared.append(True)


@pytest.mark.parametrize(
    ("source", "sizes"),
    [
        ("s3://models/m", M),
        ("s3://models/m/", M),
        ("s3://models/m/a.bin", {"a.bin": 3000000}),
        ("s3://models/m/sub", {"b.bin": 1}),
        ("s3://models/top", {"top": 3}),
        ("s3://models/kms", {"k": 6}),
        ("s3://models/big", {"x": 12000000}),
    ],
)
def test_the_objects_of_a_source_are_downloaded_and_verified_and_not_downloaded_twice(
    bucket_pod: DownloadPod, source: str, sizes: dict[str, int]
) -> None:
    outcome = bucket_pod.run(source)
    assert outcome.code == 0, outcome.log
    assert {name: len(bucket_pod.content(name)) for name in bucket_pod.files()} == sizes
    assert outcome.verified == sum(sizes.values())
    again = bucket_pod.run(source)
    assert again.verified == outcome.verified
    assert "verified " not in again.log


@pytest.mark.parametrize("content", [b"", b"x" * 2999999, b"y" * 3000000])
def test_a_file_of_the_wrong_size_or_content_is_downloaded_again(
    bucket_pod: DownloadPod, content: bytes
) -> None:
    bucket_pod.put({"a.bin": content, "lost+found/x": b"", "other": b"1"})
    assert bucket_pod.run("s3://models/m/a.bin").code == 0
    assert bucket_pod.content("a.bin") == b"x" * 3000000


@pytest.mark.parametrize(
    ("partial", "continued"), [(b"x" * 2999999, True), (b"y" * 5, False), (b"x" * 4000000, False)]
)
def test_a_partial_download_is_continued_if_it_is_the_beginning_of_the_object(
    bucket_pod: DownloadPod, partial: bytes, continued: bool
) -> None:
    etag = hashlib.md5(b"x" * 3000000).hexdigest()
    name = hashlib.sha256(f'm/a.bin\0"{etag}"'.encode()).hexdigest()
    bucket_pod.put({f".cache/aimctl/{name}": partial})
    outcome = bucket_pod.run("s3://models/m/a.bin")
    assert outcome.code == 0, outcome.log
    assert bucket_pod.content("a.bin") == b"x" * 3000000
    assert ("trying again" in outcome.log) == (partial == b"y" * 5)
    assert continued == partial.startswith(b"x" * 2999999) or len(partial) > 3000000


@pytest.mark.parametrize(
    ("source", "env", "reason"),
    [
        ("s3://models/none", {}, "SourceNotFound"),
        ("s3://models/m/su", {}, "SourceNotFound"),
        ("s3://nowhere/x", {}, "SourceNotFound"),
        ("s3://models/m", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "AccessDenied"),
        ("s3://models/m", {"awsAnonymousCredential": "true"}, "AccessDenied"),
        ("s3://models/m", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "SourceUnavailable"),
    ],
)
def test_a_source_that_cannot_be_downloaded_is_a_failure_whatever_is_on_the_volume(
    bucket_pod: DownloadPod, source: str, env: dict[str, str], reason: str
) -> None:
    bucket_pod.put({"a.bin": b"x" * 3000000, "a.bin.1a2B3c4D": b"x"})
    outcome = bucket_pod.run(source, **env)
    assert (outcome.code, outcome.reason) == (1, reason), outcome.log
    assert outcome.message == ""
