"""Write test/unit/kube/kubeconfig_answers.json: what kubectl does with the files of kubeconfig_cases.yaml.

    .venv/bin/python hack/record_kubeconfig_cases.py

For each case kubectl shows the context (``config view --minify --flatten --raw``) and requests a path from a local
server, which records the path and the credentials. The answer of a case has these fields:
    * error: the message of kubectl, if it does not send the request.
    * asks: kubectl asks for a user name and a password, because the context has no credentials.
    * path, headers: the request; of the headers only those with credentials or an impersonation.
    * cluster, user, namespace: the context as kubectl shows it.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "test"))

from support.kubeconfigs import fill, write_files  # noqa: E402 - from the test support
from support.pki import CertificateAuthority  # noqa: E402

CASES = ROOT / "test/unit/kube/kubeconfig_cases.yaml"
TARGET = ROOT / "test/unit/kube/kubeconfig_answers.json"
KUBECTL = Path(sys.executable).with_name("kubectl")
ASKS = "error: EOF"
"""The message when kubectl asks for a user name, because the context has no credentials."""

PREFIXES = ("authorization", "impersonate-")


class Recorder(http.server.BaseHTTPRequestHandler):
    """Responds to every GET and records it."""

    seen: list[tuple[str, list[list[str]]]] = []  # noqa: RUF012 - shared by all requests on purpose

    def do_GET(self) -> None:
        """Record the path and the credentials."""
        headers = [
            [name.lower(), value] for name, value in self.headers.items() if name.lower().startswith(PREFIXES)
        ]
        self.seen.append((self.path, sorted(headers)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Ignores clients that hang up during the TLS handshake."""

    def handle_error(self, *_: Any) -> None:
        """Print nothing."""


def serve(context: ssl.SSLContext | None) -> str:
    """Start a server; return host:port."""
    server = Server(("127.0.0.1", 0), Recorder)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


def kubectl(case: dict[str, Any], folder: Path, *arguments: str) -> tuple[str, str]:
    """Run kubectl in the folder of the case; return its output and its error message."""
    command = [str(KUBECTL), *arguments, "--request-timeout=5s"]
    if "context" in case:
        command.append(f"--context={case['context']}")
    if "explicit" in case:
        command.append(f"--kubeconfig={case['explicit']}")
    environ = {
        "HOME": str(folder / "home"),
        "PATH": os.environ["PATH"],
        "KUBECONFIG": ":".join(case.get("kubeconfig", ["config"])),
    }
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout, ran.stderr.strip() if ran.returncode else ""


def record(case: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """The answer for one case."""
    names = {value: name for name, value in values.items() if name != "SERVER"}

    def general(value: Any) -> Any:
        """Replace what differs between two recordings by its placeholder."""
        if isinstance(value, dict):
            return {key: general(item) for key, item in value.items()}
        if isinstance(value, list):
            return [general(item) for item in value]
        if not isinstance(value, str):
            return value
        if value in names:
            return "{" + names[value] + "}"
        for text in (values["CA64"], values["CA"]):  # as plugins get them
            value = value.replace(text, "{" + names[text] + "}")
        return value.replace(str(folder), "{FOLDER}").replace(values["SERVER"], "{SERVER}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        write_files(folder, case["files"], values)
        Recorder.seen.clear()
        _, error = kubectl(case, folder, "get", "--raw=/probe")
        answer: dict[str, Any] = {}
        if error == ASKS:
            answer["asks"] = True
        elif not Recorder.seen:
            answer["error"] = general(error)
        else:
            answer["path"] = Recorder.seen[0][0]
            answer["headers"] = general(Recorder.seen[0][1])
            answer["path"] = answer["path"].partition("?")[0]
        view, _ = kubectl(case, folder, "config", "view", "--minify", "--flatten", "--raw", "-o=json")
        with contextlib.suppress(ValueError, LookupError, TypeError):
            shown = json.loads(view)
            context = shown["contexts"][0]["context"]
            answer["namespace"] = context.get("namespace", "default")
            answer["cluster"] = general(shown["clusters"][0]["cluster"])
            answer["user"] = general((shown["users"] or [{"user": {}}])[0]["user"])
        return answer


def main() -> None:
    """Record all cases."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    version = json.loads(subprocess.check_output([KUBECTL, "version", "--client", "-o=json"]))
    with tempfile.TemporaryDirectory() as name:
        authority = CertificateAuthority(Path(name))
        files = authority.issue("server")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.certificate, files.key)
        servers = {True: serve(None), False: serve(tls)}
        values = fill(authority, authority.issue("client"))
        answers = {
            title: record(case, values | {"SERVER": servers[case.get("http", False)]})
            for title, case in cases.items()
        }
    recorded = {"kubectl": version["clientVersion"]["gitVersion"], "answers": answers}
    TARGET.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
