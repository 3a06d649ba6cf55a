"""Download a source to a folder and verify every file of it.

Usage: ``python3 -c <this text> SOURCE FOLDER TERMINATION_LOG``. Python 3.9 suffices, with huggingface_hub (0.32 or
newer) for hf:// and boto3 for s3://.

Contract:
    * The exit code is 0 only if the source was listed, and each listed file is in the folder with the listed size, and
      with the listed hash if there is one (SHA-256 or Git object ID for hf://, MD5 for s3://). Other files in the
      folder prove nothing and do no harm.
    * The last line of stdout is ``{"aimctl":"verified","files":N,"bytes":N}``, which is also written to the termination
      log if that exists, or ``{"aimctl":"failed","reason":R}``, where R is one of the reasons below.
    * All files are of one revision. Partial files are continued by the next run.
    * Every request has a timeout. A file whose transfer breaks is tried three times. The first failure ends the run.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

ACCESS_DENIED = "AccessDenied"
SOURCE_NOT_FOUND = "SourceNotFound"
RATE_LIMITED = "RateLimited"
SOURCE_UNAVAILABLE = "SourceUnavailable"
VOLUME_FULL = "VolumeFull"
VERIFICATION_FAILED = "VerificationFailed"
DOWNLOAD_FAILED = "DownloadFailed"

WORKERS = 8
TIMEOUT_SECONDS = 60
PAUSES = (2, 8, None)  # Seconds between the tries of one file.
BLOCK_BYTES = 1024 * 1024
MAX_FILES = 50_000  # The listing of a larger repository may be incomplete.

_CODES = {
    "AccessDenied": ACCESS_DENIED,
    "AllAccessDisabled": ACCESS_DENIED,
    "ExpiredToken": ACCESS_DENIED,
    "InvalidAccessKeyId": ACCESS_DENIED,
    "InvalidToken": ACCESS_DENIED,
    "SignatureDoesNotMatch": ACCESS_DENIED,
    "NoSuchBucket": SOURCE_NOT_FOUND,
    "NoSuchKey": SOURCE_NOT_FOUND,
    "PreconditionFailed": VERIFICATION_FAILED,
    "SlowDown": RATE_LIMITED,
    "RequestLimitExceeded": RATE_LIMITED,
}
_STATUSES = {
    401: ACCESS_DENIED,
    403: ACCESS_DENIED,
    404: SOURCE_NOT_FOUND,
    408: SOURCE_UNAVAILABLE,
    410: SOURCE_NOT_FOUND,
    412: VERIFICATION_FAILED,
    429: RATE_LIMITED,
}
# Names of exceptions, because the HTTP library differs between versions of the hub's library.
_CLASSES = {
    "OfflineModeIsEnabled": DOWNLOAD_FAILED,
    "HFValidationError": SOURCE_NOT_FOUND,
    "ParamValidationError": SOURCE_NOT_FOUND,
    "NoCredentialsError": ACCESS_DENIED,
    "PartialCredentialsError": ACCESS_DENIED,
    "CredentialRetrievalError": ACCESS_DENIED,
    "ConnectionError": SOURCE_UNAVAILABLE,
    "Timeout": SOURCE_UNAVAILABLE,
    "TimeoutError": SOURCE_UNAVAILABLE,
    "TransportError": SOURCE_UNAVAILABLE,
    "ChunkedEncodingError": SOURCE_UNAVAILABLE,
    "ProtocolError": SOURCE_UNAVAILABLE,
    "HTTPClientError": SOURCE_UNAVAILABLE,
    "IncompleteReadError": SOURCE_UNAVAILABLE,
    "ResponseStreamingError": SOURCE_UNAVAILABLE,
}


class Failure(Exception):  # noqa: N818 - not every failure is an error of the program
    """A failure whose reason is known."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class File:
    """A listed file: its name in the folder, size, hash as (algorithm, hex digits), and data of the store."""

    def __init__(self, name: str, size: Any, check: Any = None, origin: Any = None) -> None:
        if "\0" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise Failure(
                DOWNLOAD_FAILED, f"the source lists a file with the name {name!r}, which cannot be used"
            )
        if not isinstance(size, int):
            raise Failure(DOWNLOAD_FAILED, f"the source lists no size for {name}")
        self.name, self.size, self.check, self.origin = name, size, check, origin

    def in_folder(self, folder: Path) -> Path:
        """Its path."""
        return folder / self.name


def model_of(source: str) -> tuple[str, str | None, str]:
    """Model, revision and path of hf://[owner/]model[:revision][/path]. ``@`` may replace the colon."""
    parts = [part for part in source.partition("://")[2].split("/") if part]
    count = min(2, len(parts))
    model, _, revision = "/".join(parts[:count]).replace("@", ":").partition(":")
    if revision == "refs":  # These revisions have slashes in their names: refs/pr/7.
        revision, count = "/".join(["refs", *parts[count : count + 2]]), count + 2
    return model, revision or None, "/".join(parts[count:])


def objects_of(path: str, items: list[Any]) -> dict[str, Any]:
    """The objects of a source by their names in the folder: the one that has the path, otherwise those below it."""
    files = [item for item in items if not item["Key"].endswith("/")]
    exact = {path[path.rfind("/") + 1 :]: item for item in files if item["Key"] == path}
    start = path if not path or path.endswith("/") else path + "/"
    return exact or {item["Key"][len(start) :]: item for item in files if item["Key"].startswith(start)}


class Hub:
    """A model on a hub, or a file or folder of it."""

    def __init__(self, source: str, folder: Path) -> None:
        self.library: Any = importlib.import_module("huggingface_hub")
        self.folder = folder
        self.repo, self.revision, self.path = model_of(source)

    def files(self) -> list[File]:
        """List the files."""
        info = self.library.HfApi().model_info(
            self.repo, revision=self.revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
        self.revision = info.sha
        if len(info.siblings) >= MAX_FILES:
            raise Failure(DOWNLOAD_FAILED, f"{self.repo} has too many files: {len(info.siblings)} or more")
        inside = [item for item in info.siblings if self._contains(item.rfilename)]
        if not inside:
            raise Failure(
                SOURCE_NOT_FOUND, f"{self.repo} has no file {self.path}".rstrip() + f" at {info.sha}"
            )
        return [File(item.rfilename, item.size, self._hash(item)) for item in inside]

    def _contains(self, name: str) -> bool:
        return not self.path or name == self.path or name.startswith(self.path + "/")

    @staticmethod
    def _hash(item: Any) -> Any:
        if item.lfs is not None:
            return ("sha256", item.lfs["sha256"])
        return ("git", item.blob_id) if item.blob_id else None

    def has(self, file: File) -> bool:
        """Whether the file is in the folder."""
        path = file.in_folder(self.folder)
        return path.is_file() and not differs(path, file.size, file.check)

    def fetch(self, file: File, *, afresh: bool) -> str:
        """Download a file; without its partial file if ``afresh``. The result is that of :func:`differs`."""
        path = file.in_folder(self.folder)
        if path.is_file():
            path.unlink()  # The library would keep it, whatever its content.
        self.library.hf_hub_download(
            self.repo, file.name, revision=self.revision, local_dir=self.folder, force_download=afresh
        )
        problem = differs(path, file.size, file.check)
        if problem:
            path.unlink()
        return problem


class Bucket:
    """An object, or the objects of a folder: s3://bucket[/path]. The variables are those of KServe and of boto3."""

    def __init__(self, source: str, folder: Path) -> None:
        boto3: Any = importlib.import_module("boto3")
        botocore: Any = importlib.import_module("botocore.config")
        options: dict[str, Any] = {
            "max_pool_connections": WORKERS,
            "connect_timeout": TIMEOUT_SECONDS,
            "read_timeout": TIMEOUT_SECONDS,
            "s3": {},
        }
        if _is_set("S3_USER_VIRTUAL_BUCKET"):
            options["s3"]["addressing_style"] = "virtual"
        if _is_set("S3_USE_ACCELERATE"):
            options["s3"]["use_accelerate_endpoint"] = True
        anonymous = _is_set("awsAnonymousCredential")
        if anonymous:
            options["signature_version"] = importlib.import_module("botocore").UNSIGNED
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or None,
            verify=False if os.environ.get("S3_VERIFY_SSL", "").lower() in {"0", "false"} else None,
            config=botocore.Config(**options),
        )
        if not anonymous and boto3.DEFAULT_SESSION.get_credentials() is None:
            raise Failure(ACCESS_DENIED, "there are no credentials: AWS_ACCESS_KEY_ID is not set")
        self.bucket, _, self.path = source.partition("://")[2].partition("/")
        self.folder, self.own = folder, folder / ".cache" / "aimctl"

    def files(self) -> list[File]:
        """List the objects: the one that has the name, otherwise those of the folder."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.path)
        inside = objects_of(self.path, [item for page in pages for item in page.get("Contents", ())])
        if not inside:
            raise Failure(SOURCE_NOT_FOUND, f"bucket {self.bucket} has no object {self.path}".rstrip())
        return [self._file(name, item) for name, item in inside.items()]

    @staticmethod
    def _file(name: str, item: Any) -> File:
        md5 = re.fullmatch('"?([0-9a-f]{32})"?', item["ETag"])
        return File(name, item["Size"], ("md5", md5[1]) if md5 else None, (item["Key"], item["ETag"]))

    def _partial(self, file: File) -> Path:
        return self.own / hashlib.sha256("\0".join(file.origin).encode()).hexdigest()

    def has(self, file: File) -> bool:
        """Whether the object is in the folder."""
        path = file.in_folder(self.folder)
        if not path.is_file():
            return False
        # The ETag of an encrypted or composed object is not its MD5. A marker says that it was downloaded completely.
        marked = self._partial(file).with_suffix(".done").exists()
        return (marked or file.check is not None) and not differs(
            path, file.size, None if marked else file.check
        )

    def fetch(self, file: File, *, afresh: bool) -> str:
        """Download an object; without its partial file if ``afresh``. The result is that of :func:`differs`."""
        path, partial = file.in_folder(self.folder), self._partial(file)
        key, etag = file.origin
        start = partial.stat().st_size if partial.exists() and not afresh else 0
        part = {"Range": f"bytes={start}-"} if 0 < start < file.size else {}
        answer = self.client.get_object(Bucket=self.bucket, Key=key, IfMatch=etag, **part)
        self.own.mkdir(parents=True, exist_ok=True)
        with partial.open("ab" if answer["ResponseMetadata"]["HTTPStatusCode"] == 206 else "wb") as out:
            for block in answer["Body"].iter_chunks(BLOCK_BYTES):
                out.write(block)
        encrypted = "kms" in answer.get("ServerSideEncryption", "") or "SSECustomerAlgorithm" in answer
        check = None if encrypted else file.check
        problem = differs(partial, file.size, check)
        if not problem:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(path)
            if check is None:
                partial.with_suffix(".done").touch()
        return problem


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() == "true"


def differs(path: Path, size: int, check: Any) -> str:
    """How a file differs from its listing; empty if it does not. Its content is flushed to the volume."""
    found = path.stat().st_size
    if found != size:
        return f"{path} has {found} bytes instead of {size}"
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if check is None:
            return ""
        kind, wanted = check
        state = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
        if kind == "git":
            state.update(b"blob %d\0" % size)
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            state.update(block)
    return (
        ""
        if state.hexdigest() == wanted
        else f"{path} has {kind} hash {state.hexdigest()} instead of {wanted}"
    )


def obtain(store: Any, file: File) -> None:
    """Download a file unless the folder has it.

    Raises:
        Exception: it failed; :func:`reason_of` gives the reason.
    """
    if store.has(file):
        return
    afresh = False
    for pause in PAUSES:
        try:
            problem = store.fetch(file, afresh=afresh)
        except Exception as error:
            afresh = _status_of(error) == 416  # The partial file is longer than the file.
            if pause is None or not (afresh or reason_of(error) == SOURCE_UNAVAILABLE):
                raise
            problem = summary(error)
        else:
            if not problem:
                _log(f"verified {file.name} ({file.size} bytes)")
                return
            if pause is None:
                raise Failure(VERIFICATION_FAILED, problem)
            afresh = True
        _log(f"{file.name}: {problem}; trying again in {pause} s")
        time.sleep(pause)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _status_of(error: BaseException) -> int | None:
    """The status of the HTTP response that caused an error; None if there was none."""
    for item in _causes(error):
        answer: Any = getattr(item, "response", None)
        if isinstance(answer, dict):
            answer = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            answer = getattr(answer, "status_code", None)
        if answer is not None:
            return int(answer)
    return None


def _known(error: BaseException) -> str:
    """The reason that follows from an exception itself; empty if none does."""
    if isinstance(error, Failure):
        return error.reason
    if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return VOLUME_FULL
    answer: Any = getattr(error, "response", None)
    if isinstance(answer, dict) and answer.get("Error", {}).get("Code") in _CODES:
        return _CODES[answer["Error"]["Code"]]
    status = _status_of(error) if answer is not None else None
    if status is not None:
        return _STATUSES.get(status, SOURCE_UNAVAILABLE if status >= 500 else DOWNLOAD_FAILED)
    names = (kind.__name__ for kind in type(error).__mro__)
    return next((_CLASSES[name] for name in names if name in _CLASSES), "")


def reason_of(error: BaseException) -> str:
    """The reason of a failure: that of the first exception, from the outermost one, that has any."""
    return next(filter(None, map(_known, _causes(error))), DOWNLOAD_FAILED)


def summary(error: BaseException) -> str:
    """One line about a failure."""
    cause = next(filter(_known, _causes(error)), error)
    text = " ".join(str(cause).split())[:600]
    status = _status_of(cause)
    prefix = f"HTTP status {status}: " if status is not None else ""
    return text if isinstance(cause, Failure) else f"{prefix}{type(cause).__name__}: {text}"


def _log(text: str) -> None:
    print(text, flush=True)


def download(source: str, folder: Path) -> dict[str, Any]:
    """Download and verify a source.

    Raises:
        Exception: it failed; :func:`reason_of` gives the reason.
    """
    try:
        store: Any = Hub(source, folder) if source.startswith("hf://") else Bucket(source, folder)
    except ImportError as error:
        text = f"the image has no Python package {error.name}; set spec.modelDownloadImage to one that has it"
        raise Failure(DOWNLOAD_FAILED, text) from error
    files = store.files()
    size = sum(file.size for file in files)
    _log(f"{source} has {len(files)} files with {size} bytes")
    pool = ThreadPoolExecutor(WORKERS)
    for future in as_completed([pool.submit(obtain, store, file) for file in files]):
        future.result()
    for file in files:
        problem = differs(file.in_folder(folder), file.size, None)
        if problem:
            raise Failure(VERIFICATION_FAILED, problem)
    return {"aimctl": "verified", "files": len(files), "bytes": size}


def main() -> None:
    """Run the program. It ends without waiting for other transfers, which the next run continues."""
    source, folder, termination_log = sys.argv[1:]
    try:
        result = download(source, Path(folder))
    except Exception as error:  # noqa: BLE001 - each one is reported
        _log(f"the download of {source} failed: {summary(error)}")
        result = {"aimctl": "failed", "reason": reason_of(error)}
    line = json.dumps(result, separators=(",", ":"))
    verified = result["aimctl"] == "verified"
    if verified and Path(termination_log).exists():
        Path(termination_log).write_text(line, encoding="ascii")
    sys.stderr.flush()
    _log(line)
    os._exit(0 if verified else 1)


if __name__ == "__main__":
    main()
