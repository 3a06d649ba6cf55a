"""The environments with real client libraries. The first run of the tests builds them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from support.download_environments import BUCKET, HUBS, environment
from support.download_runs import DownloadPod
from support.ports import reserve_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session", params=sorted(HUBS))
def hub_python(request: pytest.FixtureRequest) -> Path:
    """The environment of an image with a version of huggingface_hub."""
    return environment(request.param, HUBS[request.param])


@pytest.fixture
def pod(hub_python: Path, tmp_path: Path) -> DownloadPod:
    """A pod that downloads from a hub."""
    return DownloadPod(hub_python, tmp_path)


@pytest.fixture(scope="session")
def bucket_url() -> Iterator[str]:
    """A server of S3."""
    port = reserve_port()
    command = [environment(*BUCKET) / "moto_server", "-H", "127.0.0.1", "-p", str(port.number)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port.number}"
            eventually(lambda: _answers(url), 60, "the server of S3 answers")
            yield url
        finally:
            server.terminate()
            port.release()


def _answers(url: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture
def bucket_pod(bucket_url: str, tmp_path: Path) -> DownloadPod:
    """A pod that downloads from a bucket."""
    env = {**CREDENTIALS, "AWS_ENDPOINT_URL": bucket_url}
    return DownloadPod(environment(*BUCKET), tmp_path, env)


@pytest.fixture
def in_s3(bucket_url: str) -> Callable[[str], Any]:
    """Run statements that use the client ``s3``."""

    def run(statements: str) -> None:
        code = f"import boto3\ns3 = boto3.client('s3', endpoint_url={bucket_url!r})\n{statements}"
        env = {**os.environ, **CREDENTIALS}
        subprocess.run([environment(*BUCKET) / "python", "-c", code], env=env, check=True, timeout=120)

    return run
