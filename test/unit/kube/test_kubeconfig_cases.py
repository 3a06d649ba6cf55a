"""Kubeconfig files, compared with the recorded behaviour of kubectl (hack/record_kubeconfig_cases.py)."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import ConfigurationError, ConnectionInfo, load_connection
from aimctl.runtime.kube.credentials.tls import TlsContext
from support.documents import load_yaml
from support.kubeconfigs import fill, write_files
from support.pki import CertificateAuthority
from support.proofs import variants

if TYPE_CHECKING:
    from collections.abc import Mapping

CASES: dict[str, Any] = load_yaml(
    Path(__file__).with_name("kubeconfig_cases.yaml").read_text(encoding="utf-8")
)
ANSWERS: dict[str, Any] = json.loads(
    Path(__file__).with_name("kubeconfig_answers.json").read_text(encoding="utf-8")
)["answers"]

SERVER = "api.example:1"
"""No loopback address, to which credentials are sent even over plain HTTP."""

USER_MISSING = {"an unknown user", "users is null", "a token file that is empty"}
"""kubectl asks for a user name and a password. A library cannot ask, so these are errors."""


@pytest.fixture(scope="session")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    authority = CertificateAuthority(tmp_path_factory.mktemp("pki"))
    return fill(authority, authority.issue("client")) | {"SERVER": SERVER}


async def load(case: Mapping[str, Any], folder: Path) -> ConnectionInfo:
    """Load the connection as a command line tool does, and check its TLS files."""
    environ = {"HOME": str(folder / "home"), "KUBECONFIG": ":".join(case.get("kubeconfig", ["config"]))}
    info = await load_connection(
        case.get("explicit"), environ=environ, context=case.get("context"), clock=LoopClock()
    )
    TlsContext(info, clock=LoopClock()).current()
    return info


async def sent(info: ConnectionInfo) -> list[list[str]]:
    """The headers with credentials, in the notation of the recording."""
    headers = dict(await info.credentials.headers())
    if info.server_login:
        headers["Authorization"] = info.server_login
    return sorted([name.lower(), value] for name, value in [*headers.items(), *info.impersonation])


def content(file: str | None, data: bytes | None) -> str | None:
    return Path(file).read_text() if file else data.decode() if data else None


@pytest.mark.parametrize("title", variants(list(CASES), quick=40))
async def test_a_kubeconfig_has_the_same_effect_as_for_kubectl(
    title: str, tmp_path: Path, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, answer = CASES[title], ANSWERS[title]
    write_files(tmp_path, case["files"], values)
    monkeypatch.chdir(tmp_path)
    if "error" in answer or title in USER_MISSING:
        with pytest.raises(ConfigurationError) as caught:
            await sent(await load(case, tmp_path))
        shown = "".join(traceback.format_exception(caught.value))
        assert values["KEY"] not in shown
        assert values["KEY64"] not in shown
        if "fetch it from example" in answer.get("error", ""):
            assert "fetch it from example" in shown
        return
    info = await load(case, tmp_path)
    assert info.namespace == answer["namespace"]
    if "asks" in answer:
        assert not await info.credentials.headers()
    else:
        expected_headers = [
            [name, text.replace("{SERVER}", SERVER).replace("{CA64}", values["CA64"])]
            for name, text in answer["headers"]
        ]
        assert await sent(info) == expected_headers
        assert URL(info.server).path.rstrip("/") + "/probe" == answer["path"]
    cluster, user = answer["cluster"], answer["user"]
    server = cluster["server"].replace("{SERVER}", SERVER).replace("a:b@", "")
    assert info.server.removeprefix("" if "://" in server else "http://") == server.rstrip("/")
    assert info.insecure == cluster.get("insecure-skip-tls-verify", False)
    assert info.tls_server_name == cluster.get("tls-server-name")
    assert info.proxy_url == cluster.get("proxy-url")
    expected = {
        name: values[text.strip("{}").removesuffix("64")]
        for section in (cluster, user)
        for name in ("certificate-authority-data", "client-certificate-data", "client-key-data")
        if (text := section.get(name)) and (name != "client-key-data" or "client-certificate-data" in section)
    }
    found = {
        "certificate-authority-data": content(info.ca_file, info.ca_data),
        "client-certificate-data": content(info.client_cert_file, info.client_cert_data),
        "client-key-data": content(info.client_key_file, info.client_key_data),
    }
    assert {name: text for name, text in found.items() if text} == expected


def test_every_case_was_recorded() -> None:
    assert list(CASES) == list(ANSWERS)
