"""A pod of a Deployment as a process on this machine, as far as a process can be one.

    with PodProcess(deployment, cluster, programs=folder, directory=tmp_path) as pod:
        pod.wait_ready()

What is as in a pod:
    * command, arguments and environment are those of the container, and nothing of the environment of the tests. Fields
      of the pod (``fieldRef``) are resolved.
    * The manager finds the API server by KUBERNETES_SERVICE_HOST and _PORT, and its token, authority and namespace in
      /var/run/secrets/kubernetes.io/serviceaccount. The token is one of its service account.
    * Its host name is the name of the pod.
    * It runs in the root folder, as the user of the pod, without capabilities, and with a read-only file system.

What differs:
    * There is no image: the programs are those of a folder of this machine. If the Python of the tests is in a folder
      that other users may not enter, the pod sees an empty folder there that contains only this Python.
    * The ports are those of the machine. If one is taken, an argument with another port is added.
    * There are no limits of CPU and memory, and no probes but those of the test.
    * Without root permissions (``supported`` is false) there are no mounts, so a pod cannot be started.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from support.component import Component
from support.documents import load_yaml
from support.ports import reserve_port
from support.waiting import eventually

if TYPE_CHECKING:
    from support.kubectl import Kubectl
    from support.ports import PortReservation

__all__ = ["PodProcess", "pods_can_be_processes"]

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_MOUNTS = f"""\
set -e
name=$1 account=$2 hidden=$3 python=$4
shift 4
hostname "$name"
run=$(readlink -f /var/run)
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$run"
mkdir -p {_ACCOUNT}
cp "$account"/* {_ACCOUNT}
chmod 444 {_ACCOUNT}/*
if [ -n "$hidden" ]; then
    mkdir "$run/python"
    mount --bind "$python" "$run/python"
    mount -t tmpfs -o mode=755 tmpfs "$hidden"
    mkdir -p "$python"
    mount --bind "$run/python" "$python"
    mount -o remount,bind,ro "$hidden"
fi
for folder in / "$run" $(findmnt --noheadings --output TARGET --list | grep -x '/tmp.*' || true); do
    mount -o remount,bind,ro "$folder"
done
cd /
exec "$@"
"""


def pods_can_be_processes() -> bool:
    """Whether this machine allows mounts of a process's own."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "findmnt", "hostname"))):
        return False
    return (
        subprocess.run(["unshare", "--mount", "--uts", "true"], capture_output=True, check=False).returncode
        == 0
    )


class PodProcess:
    """The process; a context manager, which kills it.

    Args:
        deployment: as the API server returns it.
        kubectl: with permissions to create tokens.
        programs: folder with the program that the container's command names.
        directory: for the account and the log.
        name: of the pod.
    """

    def __init__(
        self, deployment: dict[str, Any], kubectl: Kubectl, *, programs: Path, directory: Path, name: str
    ) -> None:
        self.name = name
        self._namespace = deployment["metadata"]["namespace"]
        self._pod = deployment["spec"]["template"]["spec"]
        (self._container,) = self._pod["containers"]
        self._kubectl = kubectl
        self._programs = programs
        self._account = directory / name
        self._ports: list[PortReservation] = []
        self._numbers: dict[str, int] = {}
        self._component = Component(name, directory / f"{name}.log")

    def __enter__(self) -> Self:
        server = self._write_account()
        self._component.start(
            [
                "unshare", "--mount", "--uts", "sh", "-c", _MOUNTS, "pod", self.name,
                str(self._account), _hidden_ancestor(Path(sys.base_prefix)), sys.base_prefix,
                "setpriv", *self._identity(), "--", "env", "-i", *self._environment(server),
                *self._container["command"], *self._container["args"], *self._free_ports(),
            ]
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run(self._component.kill())
        for port in self._ports:
            port.release()

    def terminate(self) -> int:
        """SIGTERM, as the kubelet sends it; returns the exit code."""
        return asyncio.run(self._component.terminate())

    def wait_ready(self) -> None:
        """Wait until the readiness probe of the container succeeds."""
        probe = self._container["readinessProbe"]["httpGet"]
        url = f"http://127.0.0.1:{self._numbers[probe['port']]}{probe['path']}"
        eventually(
            lambda: _succeeds(url) or not self.running,
            60,
            f"{url} succeeds",
            otherwise=lambda: self.log[-3000:],
        )
        assert self.running, self.log[-3000:]

    @property
    def log(self) -> str:
        """Everything that it has printed."""
        return self._component.log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._component.running

    def _write_account(self) -> str:
        """Write the files of the service account; return the URL of the API server."""
        config = load_yaml(self._kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "yaml"))
        cluster = config["clusters"][0]["cluster"]
        account = self._pod["serviceAccountName"]
        self._account.mkdir()
        files = {
            "token": self._kubectl("create", "token", account, "-n", self._namespace).strip(),
            "namespace": self._namespace,
            "ca.crt": _decoded(cluster["certificate-authority-data"]),
        }
        for name, text in files.items():
            (self._account / name).write_text(text, encoding="utf-8")
        return str(cluster["server"])

    def _identity(self) -> list[str]:
        context = self._pod["securityContext"]
        assert context["runAsNonRoot"]
        assert self._container["securityContext"]["readOnlyRootFilesystem"]
        user = str(context["runAsUser"])
        return [
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]

    def _environment(self, server: str) -> list[str]:
        address = urlsplit(server)
        fields = {"metadata.namespace": self._namespace, "metadata.name": self.name}
        given = {
            one["name"]: one.get("value", "")
            if "valueFrom" not in one
            else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in self._container.get("env", ())
        }
        runtime = {
            "PATH": f"{self._programs}:/usr/bin:/bin",
            "HOME": "/",
            "HOSTNAME": self.name,
            "KUBERNETES_SERVICE_HOST": str(address.hostname),
            "KUBERNETES_SERVICE_PORT": str(address.port),
        }
        return [f"{name}={value}" for name, value in {**runtime, **given}.items()]

    def _free_ports(self) -> list[str]:
        """Arguments for the ports that are taken on this machine."""
        flags = {"metrics": "--metrics-bind-address", "probes": "--health-probe-bind-address"}
        more = []
        for port in self._container["ports"]:
            number = port["containerPort"]
            if _taken(number):
                self._ports.append(reserve_port())
                number = self._ports[-1].number
                more.append(f"{flags[port['name']]}=127.0.0.1:{number}")
            self._numbers[port["name"]] = number
        return more


def _hidden_ancestor(folder: Path) -> str:
    """The first ancestor that other users may not enter, such as the home of root; "" if there is none."""
    closed = (one for one in reversed(folder.parents) if not one.stat().st_mode & stat.S_IXOTH)
    return str(next(closed, ""))


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def _succeeds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
