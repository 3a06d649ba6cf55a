"""``aimctl manager`` as the separate process it is in a cluster, to be killed, stopped and asked for its metrics."""

from __future__ import annotations

import os
import signal
import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Self

from prometheus_client.parser import text_string_to_metric_families

from support.forkserver import spawn
from support.ports import reserve_port

if TYPE_CHECKING:
    from pathlib import Path

    from support.forkserver import Spawned

__all__ = ["ManagerProcess", "samples_of"]

_UNVERIFIED = ssl._create_unverified_context()
"""For the self-signed certificate of the metrics port."""


def samples_of(text: str) -> dict[str, float]:
    """The samples of a page of metrics by name and labels, as in ``leader_election_master_status{name="aimctl"}``."""
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


class ManagerProcess:
    """One manager. Use as a context manager: leaving it stops the process by its id, whatever happened.

    Args:
        kubeconfig: the cluster.
        log: file that takes standard output and error; appended to, so that restarts share one.
        flags: further flags of ``aimctl manager``. With ``--metrics-secure``, set :attr:`token` to read the metrics.

    Attributes:
        token: bearer token that is sent to the metrics port; "" for none.
    """

    def __init__(self, kubeconfig: Path, log: Path, *flags: str) -> None:
        self._log = log
        self._ports = reserve_port(), reserve_port()
        self.metrics_port, self.probes_port = (port.number for port in self._ports)
        metrics, probes = self.metrics_port, self.probes_port
        scheme = "https" if "--metrics-secure" in flags else "http"
        self._metrics_url = f"{scheme}://127.0.0.1:{metrics}/metrics"
        self.token = ""
        self._ready_url = f"http://127.0.0.1:{probes}/readyz"
        self._arguments = [
            "manager",
            "--kubeconfig", str(kubeconfig),
            "--metrics-bind-address", f"127.0.0.1:{metrics}",
            "--health-probe-bind-address", f"127.0.0.1:{probes}",
            # Nothing listens there: no test uses real registries. The last flag of a name takes precedence.
            "--registry-mirror", "*=http://127.0.0.1:9",
            *flags,
        ]  # fmt: skip
        self._process: Spawned | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for port in self._ports:
            port.release()

    def start(self) -> None:
        """Start it; returns at once."""
        with self._log.open("ab") as log, open(os.devnull, "rb") as stdin:  # noqa: PTH123
            self._process = spawn(
                self._arguments, stdin=stdin.fileno(), stdout=log.fileno(), stderr=log.fileno()
            )

    def kill(self) -> None:
        """SIGKILL: nothing is cleaned up, nothing is released."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._process is not None:
            self._process.wait(10)

    def terminate(self, timeout: float = 40) -> int:
        """SIGTERM, as a rollout does; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout: float) -> int:
        """Wait for it to end by itself; returns the exit code."""
        assert self._process is not None
        return self._process.wait(timeout)

    @property
    def log_file(self) -> Path:
        """The file that takes its output."""
        return self._log

    @property
    def log(self) -> str:
        """All it wrote so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def metrics(self) -> dict[str, float]:
        """Samples as in :func:`samples_of`; {} when not up."""
        return samples_of(self.page())

    def page(self) -> str:
        """The page of metrics as text; "" when not up."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(self._metrics_url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=_UNVERIFIED) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    @property
    def leading(self) -> bool:
        """What its own metric says."""
        return any(
            value == 1
            for name, value in self.metrics().items()
            if name.startswith("leader_election_master_status")
        )

    def ready(self) -> bool:
        """What its readiness probe says."""
        try:
            with urllib.request.urlopen(self._ready_url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout: float = 30) -> None:
        """Wait for readiness; a manager that ended instead shows its log."""
        end = time.monotonic() + timeout
        while not self.ready():
            if not self.running:
                raise AssertionError(f"the manager ended:\n{self.log[-3000:]}")
            if time.monotonic() > end:
                raise AssertionError(f"the manager is not ready after {timeout:g} s:\n{self.log[-3000:]}")
            time.sleep(0.05)
