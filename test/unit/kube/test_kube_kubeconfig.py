from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import ConfigurationError, ConnectionInfo, from_kubeconfig
from support.documents import load_yaml
from support.pki import CertificateAuthority
from support.scripted import Answer, ScriptedServer

EXEC_API = "client.authentication.k8s.io/v1"


class ManualClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.start = datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds - 1000)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def write(
    path: Path, *, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **context: Any
) -> str:
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [
            {
                "name": "main",
                "context": {"cluster": "k", **({"user": "u"} if user is not None else {}), **context},
            }
        ],
        "clusters": [{"name": "k", "cluster": {"server": "https://host:6443/", **(cluster or {})}}],
        "users": [] if user is None else [{"name": "u", "user": user}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def load(path: str, **options: Any) -> ConnectionInfo:
    return await from_kubeconfig(path, clock=options.pop("clock", LoopClock()), **options)


async def authorization(info: ConnectionInfo) -> str | None:
    return (await info.credentials.headers()).get("Authorization")


def exec_user(command: str, **more: Any) -> dict[str, Any]:
    return {"exec": {"apiVersion": EXEC_API, "command": command, "interactiveMode": "Never", **more}}


def printing_user(status: dict[str, Any]) -> dict[str, Any]:
    printed = {"kind": "ExecCredential", "apiVersion": EXEC_API, "status": status}
    return exec_user("printf", args=["%s", json.dumps(printed)])


def plugin(folder: Path, **status: Any) -> dict[str, Any]:
    """An exec entry whose plugin counts its runs and returns ``token-<n>`` with the given status."""
    script = folder / "plugin.py"
    script.write_text(
        "import json, os, pathlib, sys\n"
        "assert json.loads(os.environ['KUBERNETES_EXEC_INFO'])['kind'] == 'ExecCredential'\n"
        f"runs = pathlib.Path({str(folder / 'runs')!r})\n"
        "n = int(runs.read_text()) + 1 if runs.exists() else 1\n"
        "runs.write_text(str(n))\n"
        f"status = json.loads({json.dumps(status)!r})\n"
        "if 'token' in status: status['token'] += f'-{n}'\n"
        f"print(json.dumps({{'apiVersion': {EXEC_API!r}, 'kind': 'ExecCredential', 'status': status}}))\n"
    )
    return exec_user(sys.executable, args=[str(script)])


def runs(folder: Path) -> int:
    return int((folder / "runs").read_text())


def texts(*names: str) -> list[str]:
    return [Path(name).read_text() for name in names]


def test_loading_a_kubeconfig_does_not_import_kubernetes_asyncio(tmp_path: Path) -> None:
    """Its import takes almost a second and 66 MB."""
    code = (
        "import asyncio, sys\n"
        "from aimctl.runtime.clock import LoopClock\n"
        "from aimctl.runtime.kube import from_kubeconfig\n"
        "asyncio.run(from_kubeconfig(sys.argv[1], clock=LoopClock()))\n"
        "assert not any(name.startswith('kubernetes') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, write(tmp_path / "c", user={"token": "t"})], check=True)


async def test_the_token_and_the_cluster_settings_are_used(tmp_path: Path) -> None:
    cluster = {
        "tls-server-name": "real.name",
        "proxy-url": "http://proxy:3128",
        "insecure-skip-tls-verify": True,
    }
    info = await load(write(tmp_path / "c", user={"token": "t"}, cluster=cluster, namespace="mine"))
    assert await authorization(info) == "Bearer t"
    assert (info.server, info.namespace, info.insecure) == ("https://host:6443", "mine", True)
    assert (info.tls_server_name, info.proxy_url, info.trust_env) == ("real.name", "http://proxy:3128", True)


async def test_relative_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "ca.pem").write_text("ca")
    (tmp_path / "conf" / "tok").write_text("from-file\n")
    path = write(
        tmp_path / "conf" / "c",
        user={"tokenFile": "tok", "token": "old"},
        cluster={"certificate-authority": "ca.pem"},
    )
    info = await load(path)
    assert info.ca_file == str(tmp_path / "conf" / "ca.pem")
    assert await authorization(info) == "Bearer from-file"
    (tmp_path / "conf" / "tok").write_text("changed")
    assert await authorization(info) == "Bearer changed"


async def test_a_user_name_and_password_are_sent_as_basic(tmp_path: Path) -> None:
    info = await load(write(tmp_path / "c", user={"username": "a", "password": "b"}))
    assert await authorization(info) == "Basic " + base64.b64encode(b"a:b").decode()


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
async def test_a_token_is_sent_over_plain_http_to_this_machine(tmp_path: Path, host: str) -> None:
    info = await load(write(tmp_path / "c", user={"token": "t"}, cluster={"server": f"http://{host}"}))
    assert await authorization(info) == "Bearer t"


async def test_a_token_is_not_sent_over_plain_http_to_another_machine(tmp_path: Path) -> None:
    info = await load(write(tmp_path / "c", user={"token": "t"}, cluster={"server": "http://host"}))
    assert await authorization(info) is None


async def test_a_context_without_user_sends_no_credentials(tmp_path: Path) -> None:
    assert await authorization(await load(write(tmp_path / "c"))) is None


async def test_several_files_are_merged_and_missing_ones_skipped(tmp_path: Path) -> None:
    first = write(tmp_path / "one", user={"token": "one"})
    second = write(tmp_path / "two", user={"token": "two"})
    info = await load(f"{first}:{tmp_path}/none:{second}")
    assert await authorization(info) == "Bearer one"


async def test_another_context_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "c"
    write(path, user={"token": "t"})
    config = load_yaml(path.read_text())
    config["contexts"].append(
        {"name": "other", "context": {"cluster": "k", "user": "u", "namespace": "elsewhere"}}
    )
    path.write_text(yaml.safe_dump(config))
    assert (await load(str(path), context="other")).namespace == "elsewhere"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "/c, current context: current-context is not set; choose one of: none"),
        ("[]", r"/c is not a kubeconfig: it has no clusters"),
        ("text", r"/c is not a kubeconfig: it has no clusters"),
        ("{broken", r"/c is not valid YAML: line 1, column 8: expected"),
        ("a: \x00", r"/c is not valid YAML: it contains invalid characters"),
        ("apiVersion: v1\n", "/c, current context: current-context is not set; choose one of: none"),
        ("contexts: []\ncurrent-context: a", "contexts has no 'a'; existing entries: none"),
    ],
)
async def test_a_broken_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        await load(str(tmp_path / "c"))


async def test_a_directory_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{tmp_path} is a directory: specify the file in it"):
        await load(str(tmp_path))


async def test_without_a_current_context_the_existing_ones_are_listed(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("contexts: [{name: main, context: {}}, {name: more, context: {}}]")
    with pytest.raises(ConfigurationError, match="current-context is not set; choose one of: main, more"):
        await load(str(tmp_path / "c"))


async def test_the_error_for_an_unknown_context_lists_the_existing_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"contexts has no 'nope'; existing entries: main"):
        await load(write(tmp_path / "c", user={"token": "t"}), context="nope")


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        ({"token": "t"}, {"certificate-authority": "missing.pem"}, r"missing\.pem"),
        ({"token": "t"}, {"server": ""}, "server"),
        ({"tokenFile": "missing"}, {}, "/missing"),
        (exec_user("/no/such/plugin"), {}, "exec plugin /no/such/plugin does not exist"),
        (exec_user("no-such-plugin"), {}, "exec plugin no-such-plugin is not in the PATH"),
        (exec_user("false"), {}, "exec plugin false failed with exit code 1"),
        (exec_user("true"), {}, "exec plugin true printed an invalid ExecCredential"),
        (
            printing_user({"token": "two\nlines"}),
            {},
            "exec plugin printf returned a token with control characters",
        ),
    ],
)
async def test_an_entry_that_cannot_be_used_says_why(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await load(write(tmp_path / "c", user=user, cluster=cluster))


@pytest.mark.parametrize(
    "user",
    [
        {"token": "geheim", "exec": {"apiVersion": EXEC_API}},
        {"token": "geheim", "exec": {"command": "x", "apiVersion": EXEC_API, "args": 5}},
        {"auth-provider": {"name": "oidc", "config": {"client-secret": "geheim"}}},
        {"auth-provider": {"name": "oidc", "config": ["geheim"]}},
        {"token": ["geheim"]},
        {"token": "geheim", "client-certificate": "missing"},
    ],
)
async def test_an_error_shows_no_secret(tmp_path: Path, user: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await load(write(tmp_path / "c", user=user))
    chain = [caught.value, caught.value.__cause__]
    assert not any("geheim" in repr(error) for error in chain)


async def test_half_a_surrogate_pair_is_rejected_as_by_kubectl(tmp_path: Path) -> None:
    """It cannot be sent, and the error of the encoder would show the password."""
    (tmp_path / "c").write_text(r'{"users": [{"name": "u", "user": {"password": "geheim\ud83d\ude00"}}]}')
    with pytest.raises(ConfigurationError, match="invalid Unicode escape") as caught:
        await load(str(tmp_path / "c"))
    assert "geheim" not in repr([caught.value, caught.value.__cause__])


async def test_a_syntax_error_beside_a_secret_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("users:\n- name: u\n  user: {token: t0ps3cret\n")
    with pytest.raises(ConfigurationError, match="line 4") as error:
        await load(str(tmp_path / "c"))
    assert "t0ps3cret" not in str(error.value)
    assert error.value.__cause__ is None


async def test_a_context_with_a_missing_cluster_or_user_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "c"
    write(path, user={"token": "t"}, cluster={})
    path.write_text(path.read_text().replace("cluster: k", "cluster: gone"))
    with pytest.raises(ConfigurationError, match=r"clusters has no 'gone'; existing entries: k"):
        await load(str(path))


async def test_a_plugin_without_credentials_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither a token nor a certificate"):
        await load(write(tmp_path / "c", user=plugin(tmp_path)))


async def test_a_plugin_token_is_kept_until_shortly_before_it_expires(tmp_path: Path) -> None:
    clock = ManualClock()
    expires = (clock.start + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    info = await load(
        write(tmp_path / "c", user=plugin(tmp_path, token="t", expirationTimestamp=expires)), clock=clock
    )
    assert await authorization(info) == "Bearer t-1"
    clock.seconds += 3600 - 301
    assert await authorization(info) == "Bearer t-1"
    clock.seconds += 2
    assert await authorization(info) == "Bearer t-2"


async def test_a_short_lived_plugin_token_is_not_fetched_for_each_request(tmp_path: Path) -> None:
    clock = ManualClock()
    expires = (clock.start + timedelta(seconds=100)).isoformat()
    info = await load(
        write(tmp_path / "c", user=plugin(tmp_path, token="t", expirationTimestamp=expires)), clock=clock
    )
    clock.seconds += 70
    assert await authorization(info) == "Bearer t-1"
    clock.seconds += 20
    assert await authorization(info) == "Bearer t-2"


async def test_a_plugin_token_without_expiry_lasts_until_a_401_and_is_then_fetched_once(
    tmp_path: Path,
) -> None:
    import asyncio

    clock = ManualClock()
    info = await load(write(tmp_path / "c", user=plugin(tmp_path, token="t")), clock=clock)
    clock.seconds += 1e6
    assert await authorization(info) == "Bearer t-1"
    info.credentials.invalidate()
    assert set(await asyncio.gather(*(authorization(info) for _ in range(5)))) == {"Bearer t-2"}
    assert runs(tmp_path) == 2


async def test_a_plugin_can_return_a_certificate(tmp_path: Path) -> None:
    clock = ManualClock()
    user = plugin(tmp_path, clientCertificateData="CERT", clientKeyData="KEY")
    info = await load(write(tmp_path / "c", user=user), clock=clock)
    assert await authorization(info) is None
    assert info.certificate_source is not None
    first = info.certificate_source.client_certificate()
    assert first == (b"CERT", b"KEY")
    clock.seconds += 1e6
    await info.credentials.headers()
    assert info.certificate_source.client_certificate() is first
    info.credentials.invalidate()
    await info.credentials.headers()
    assert info.certificate_source.client_certificate() is not first
    assert runs(tmp_path) == 2


def jwt(expires: datetime) -> str:
    claims = (
        base64.urlsafe_b64encode(json.dumps({"exp": int(expires.timestamp())}).encode()).decode().rstrip("=")
    )
    return f"e30.{claims}.sig"


async def test_a_valid_oidc_token_is_used(tmp_path: Path) -> None:
    token = jwt(datetime.now(UTC) + timedelta(hours=1))
    user = {"auth-provider": {"name": "oidc", "config": {"id-token": token, "idp-issuer-url": "https://x"}}}
    assert await authorization(await load(write(tmp_path / "c", user=user))) == f"Bearer {token}"


def oidc(**config: str) -> dict[str, Any]:
    return {
        "auth-provider": {
            "name": "oidc",
            "config": {"client-id": "me", "idp-issuer-url": "https://x", **config},
        }
    }


def expiring(seconds: float) -> str:
    return jwt(datetime.now(UTC) + timedelta(seconds=seconds))


async def test_an_expired_oidc_token_without_refresh_token_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"refresh-token.*log in again"):
        await load(write(tmp_path / "c", user=oidc(**{"id-token": expiring(-60)})))


def issuing(issuer: ScriptedServer, *tokens: Any) -> dict[str, str]:
    issuer.on("GET", "/realm/.well-known/openid-configuration", {"token_endpoint": issuer.url + "/token"})
    issuer.on("POST", "/token", *tokens)
    return {"idp-issuer-url": issuer.url + "/realm/", "refresh-token": "first"}


@pytest.mark.parametrize("secret", [None, "s"])
async def test_an_expiring_oidc_token_is_refreshed_and_the_file_keeps_the_new_one(
    tmp_path: Path, secret: str | None
) -> None:
    fresh = expiring(3600)
    async with ScriptedServer() as issuer:
        config = issuing(issuer, {"id_token": fresh, "refresh_token": "next"}) | {"id-token": expiring(299)}
        path = write(tmp_path / "c", user=oidc(**config, **({"client-secret": secret} if secret else {})))
        assert await authorization(await load(path)) == f"Bearer {fresh}"
        asked = issuer.asked("POST")[0]
    form = dict(parse_qsl(asked.body.decode()))
    assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "first")
    assert ("client_id" in form, "Authorization" in asked.headers) == (not secret, bool(secret))
    stored = load_yaml(texts(path)[0])["users"][0]["user"]["auth-provider"]["config"]
    assert (stored["id-token"], stored["refresh-token"]) == (fresh, "next")


async def test_a_valid_oidc_token_is_kept_after_a_failed_refresh(tmp_path: Path) -> None:
    token = expiring(100)
    async with ScriptedServer() as issuer:
        config = issuing(issuer, Answer(500)) | {"id-token": token}
        assert (
            await authorization(await load(write(tmp_path / "c", user=oidc(**config)))) == f"Bearer {token}"
        )
        assert len(issuer.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400),
        Answer(200, b"<html>"),
        Answer(200, b'{"id_token": "\xff"}'),
        Answer(200, b'{"id_token": ' + b"[" * 100_000),
        {"access_token": "only"},
        {"id_token": "a\nb"},
    ],
    ids=["400", "HTML", "not UTF-8", "too deep", "no token", "two lines"],
)
async def test_an_issuer_that_returns_no_token_is_an_error_without_a_secret(
    tmp_path: Path, answer: Any
) -> None:
    async with ScriptedServer() as issuer:
        config = issuing(issuer, answer) | {"client-secret": "geheim"}
        with pytest.raises(ConfigurationError, match=r"cannot be refreshed \(.+\): log in again") as caught:
            await load(write(tmp_path / "c", user=oidc(**config)))
        (asked,) = issuer.asked("POST")
    shown = "".join(traceback.format_exception(caught.value))
    sent = asked.headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent) == b"me:geheim"
    assert not any(secret in shown for secret in (sent, "geheim", "first"))


@pytest.mark.parametrize("data", ["%%%", "/////w=="], ids=["no base64", "no PEM"])
async def test_an_authority_of_the_issuer_that_cannot_be_used_is_named(tmp_path: Path, data: str) -> None:
    config = {"refresh-token": "r", "idp-certificate-authority-data": data}
    with pytest.raises(ConfigurationError, match="idp-certificate-authority-data cannot be used"):
        await load(write(tmp_path / "c", user=oidc(**config)))


@pytest.mark.parametrize("payload", [b'{"exp": "\xff"}', b"[" * 100_000, b'{"exp": 1e400}', b"{}x"])
async def test_a_stored_token_that_cannot_be_decoded_counts_as_expired(
    tmp_path: Path, payload: bytes
) -> None:
    token = "e30." + base64.urlsafe_b64encode(payload).decode() + ".sig"
    with pytest.raises(ConfigurationError, match="the id-token has expired"):
        await load(write(tmp_path / "c", user=oidc(**{"id-token": token})))


async def test_a_changed_configuration_with_other_values_than_texts_is_read_as_far_as_possible(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    first, second = jwt(clock.start + timedelta(minutes=10)), jwt(clock.start + timedelta(hours=2))
    path = write(tmp_path / "c", user=oidc(**{"id-token": first}))
    info = await load(path, clock=clock)
    write(tmp_path / "c", user=oidc(**{"id-token": second, "client-id": 5, "idp-issuer-url": None}))
    clock.seconds += 301
    assert await authorization(info) == f"Bearer {second}"


@pytest.mark.parametrize("named", ["data", "file", None])
async def test_an_issuers_certificate_is_always_checked(tmp_path: Path, named: str | None) -> None:
    ca = CertificateAuthority(tmp_path)
    files = ca.issue("issuer")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    trust = {
        "data": {"idp-certificate-authority-data": base64.b64encode(ca.certificate.read_bytes()).decode()},
        "file": {"idp-certificate-authority": "ca.crt"},
        None: {},
    }[named]
    fresh = expiring(3600)
    async with ScriptedServer(ssl_context=tls) as issuer:
        path = write(tmp_path / "c", user=oidc(**issuing(issuer, {"id_token": fresh}), **trust))
        if named:
            assert await authorization(await load(path)) == f"Bearer {fresh}"
        else:
            with pytest.raises(ConfigurationError, match="certificate"):
                await load(path)
            assert issuer.seen == []


async def test_an_oidc_token_is_checked_every_minute(tmp_path: Path) -> None:
    clock = ManualClock()
    second = jwt(clock.start + timedelta(hours=2))
    async with ScriptedServer() as issuer:
        first = jwt(clock.start + timedelta(minutes=10))
        info = await load(
            write(tmp_path / "c", user=oidc(**issuing(issuer, {"id_token": second}), **{"id-token": first})),
            clock=clock,
        )
        clock.seconds += 240
        assert await authorization(info) == f"Bearer {first}"
        clock.seconds += 61
        assert await authorization(info) == f"Bearer {second}"
