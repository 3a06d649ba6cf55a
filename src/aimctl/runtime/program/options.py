"""The options of an operator's process, from flags, environment variables and defaults.

Contract of :func:`parse_options`:
    * A flag takes precedence over its environment variable, and that over the default. The variable of
      ``--log-level`` of an operator named ``my-operator`` is ``MY_OPERATOR_LOG_LEVEL``.
    * A wrong flag or value ends the process with exit code 2 and a message that names the flag or variable, the value
      and the rule.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from aimctl.runtime.kube import ConfigurationError
from aimctl.runtime.kube.options import check_segment
from aimctl.runtime.manager import parse_bind_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["LogFormat", "RunOptions", "parse_options"]

LogFormat = Literal["json", "console"]
"""The format of log records: one JSON object a line, or text."""

_LEVELS = ("debug", "info", "warning", "error")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REPEATED = frozenset({"watch_namespaces", "metrics_audiences"})
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of the process of an operator.

    Attributes:
        name: of the operator: the Lease, the field manager of its writes, the reporting controller of its Events, and
            the prefix of its environment variables. Lower-case letters, digits and ``-``.
        kubeconfig: path; None for ``$KUBECONFIG``, the service account of the pod, or ``~/.kube/config``.
        context: of the kubeconfig; None for its current one. With a context the service account is not used.
        leader_elect: work only while holding the Lease. False: this process always works.
        leader_election_namespace: of the Lease; "" for the namespace of the pod or of the kubeconfig's context.
        lease_name: of the Lease; "" for ``name``.
        lease_labels: added to the Lease by the leader; other labels are kept.
        metrics_bind_address: host:port of ``/metrics`` and ``/debug``; "0" for off.
        metrics_secure: serve them with TLS, to clients with a token and a permission; False: plain HTTP for every
            client that can connect.
        metrics_cert_dir: folder with ``tls.crt`` and ``tls.key`` for ``metrics_secure``; "" for a self-signed
            certificate.
        metrics_audiences: of tokens for ``metrics_secure``; empty for those of the API server.
        health_probe_bind_address: host:port of ``/healthz`` and ``/readyz``; "0" for off.
        stall_seconds: report code that blocks the event loop for this time, with its stack; 0 for off.
        watch_namespaces: the default namespaces of caches; empty for all.
        log_level: debug, info, warning or error.
        log_format: json or console.
        print_manifests: write what a cluster needs to standard output, and exit.
    """

    name: str
    kubeconfig: str | None = None
    context: str | None = None
    leader_elect: bool = True
    leader_election_namespace: str = ""
    lease_name: str = ""
    lease_labels: tuple[tuple[str, str], ...] = ()
    metrics_bind_address: str = "127.0.0.1:8080"
    metrics_secure: bool = False
    metrics_cert_dir: str = ""
    metrics_audiences: tuple[str, ...] = ()
    health_probe_bind_address: str = ":8081"
    stall_seconds: float = 0.8
    watch_namespaces: tuple[str, ...] = ()
    log_level: str = "info"
    log_format: LogFormat = "json"
    print_manifests: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError with the field, the value and the rule if an option is not valid."""
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(f"name={self.name!r}: use up to 63 lower-case letters, digits and '-'")
        if not 0 <= self.stall_seconds < float("inf"):
            raise ValueError(f"stall_seconds={self.stall_seconds}: use a number of seconds, or 0 for off")
        if not self.metrics_secure and (self.metrics_cert_dir or self.metrics_audiences):
            raise ValueError(
                "metrics_cert_dir and metrics_audiences have no effect without metrics_secure: set it too"
            )


def parse_options(
    defaults: RunOptions,
    argv: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str],
    description: str = "",
) -> RunOptions:
    """Read the flags and the environment variables.

    Args:
        defaults: the name, and the values of options that are not given.
        argv: arguments without the program's name; None for those of this process.
        environ: environment variables.
        description: shown by ``--help``.

    Raises:
        SystemExit: 0 after ``--help``; 2 for a wrong flag, variable or value.
    """
    parser = argparse.ArgumentParser(
        description=description or None,
        epilog="A flag takes precedence over its environment variable, which is in brackets.",
        allow_abbrev=False,
    )
    prefix = re.sub("[^A-Z0-9]", "_", defaults.name.upper())

    def flag(field: str, text: str, read: Callable[[str], object]) -> None:
        name = field.removesuffix("s") if field in _REPEATED else field
        variable = f"{prefix}_{name.upper()}"
        value: object = getattr(defaults, field)
        if variable in environ:
            try:
                value = read(environ[variable])
            except argparse.ArgumentTypeError as error:
                parser.error(f"${variable}: {error}")
        option = "--" + name.replace("_", "-")
        text = f"{text} [${variable}]"
        if read is _boolean:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=value, help=text)
        else:
            parser.add_argument(option, dest=field, type=read, default=value, help=text, metavar="VALUE")

    flag("kubeconfig", "Path of the kubeconfig.", str)
    flag("context", "Context of the kubeconfig; default: its current one.", str)
    flag("leader_elect", "Work only while holding the Lease.", _boolean)
    flag("leader_election_namespace", "Namespace of the Lease; default: that of the connection.", _namespace)
    flag("metrics_bind_address", "host:port of /metrics and /debug; 0 for off.", _address)
    flag("metrics_secure", "Serve them with TLS, to clients with a token and a permission.", _boolean)
    flag("metrics_cert_dir", "Folder with tls.crt and tls.key; default: a self-signed certificate.", str)
    flag("metrics_audiences", "Audiences of tokens, separated by commas; default: the API server's.", _texts)
    flag("health_probe_bind_address", "host:port of /healthz and /readyz; 0 for off.", _address)
    flag("stall_seconds", "Report code that blocks the event loop for this time; 0 for off.", _seconds)
    flag("watch_namespaces", "Namespaces to watch, separated by commas; default: all.", _namespaces)
    flag("log_level", f"One of {', '.join(_LEVELS)}.", _one_of(_LEVELS))
    flag("log_format", f"One of {', '.join(get_args(LogFormat))}.", _one_of(get_args(LogFormat)))
    parser.add_argument(
        "--print-manifests",
        action="store_true",
        default=defaults.print_manifests,
        help="Print the CRDs and roles that a cluster needs, and exit.",
    )
    values = vars(parser.parse_args(argv))
    if not values["metrics_secure"] and (values["metrics_cert_dir"] or values["metrics_audiences"]):
        parser.error(
            "--metrics-cert-dir and --metrics-audience have no effect without --metrics-secure: add it"
        )
    return RunOptions(
        name=defaults.name, lease_name=defaults.lease_name, lease_labels=defaults.lease_labels, **values
    )


def _boolean(text: str) -> bool:
    if text.lower() in _ON:
        return True
    if text.lower() in _OFF:
        return False
    raise argparse.ArgumentTypeError(f"{text!r}: use true or false")


def _namespace(text: str) -> str:
    try:
        if text:
            check_segment("namespace", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _texts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _namespaces(text: str) -> tuple[str, ...]:
    return tuple(_namespace(name) for name in _texts(text))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: use a number of seconds, or 0 for off")
    return seconds


def _address(text: str) -> str:
    try:
        parse_bind_address("address", text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _one_of(values: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in values:
            raise argparse.ArgumentTypeError(f"{text!r}: use one of {', '.join(values)}")
        return text

    return read
