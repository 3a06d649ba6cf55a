"""How to reach an API server, and as whom.

Contract:
    * A :class:`ConnectionInfo` is a value: it opens nothing and holds no loop. Files it names are read by
      whoever connects, again whenever they change.
    * A :class:`CredentialProvider` is asked before each request, so short-lived tokens are always fresh ones.
    * :func:`load_connection` looks in the order controller-runtime does: ``--kubeconfig``, ``$KUBECONFIG``,
      the pod's own files, ``~/.kube/config``.

Invariant: no secret appears in a ``repr``, a log line or an error text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, final

from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.runtime.clock import Clock

__all__ = [
    "CertificateSource",
    "ConnectionInfo",
    "CredentialProvider",
    "StaticCredentials",
    "TokenFile",
    "file_stamp",
    "in_cluster",
    "load_connection",
]

SERVICE_ACCOUNT_ROOT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's service account."""

TOKEN_REFRESH_SECONDS = 60.0
"""A token file is read again at least this often; client-go's file token source has the same period."""


class CredentialProvider(Protocol):
    """Who we are, as request headers."""

    async def headers(self) -> Mapping[str, str]:
        """The headers to send now; equal answers mean the same credentials.

        Raises:
            ConfigurationError: there are none to be had; the text names the file or plugin.
        """
        ...

    def invalidate(self) -> None:
        """The server answered 401: forget what is remembered, the next :meth:`headers` gets it anew."""
        ...


class CertificateSource(Protocol):
    """A client certificate that changes while we run, as exec plugins hand out."""

    def certificate_files(self) -> tuple[str, str] | None:
        """Paths of certificate and key, or None for no client certificate."""
        ...


@final
class StaticCredentials:
    """The same headers for ever. ``StaticCredentials()`` sends none."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})

    @classmethod
    def bearer(cls, token: str) -> StaticCredentials:
        """A fixed bearer token."""
        return cls({"Authorization": f"Bearer {token.strip()}"})

    async def headers(self) -> Mapping[str, str]:
        """The headers given."""
        return self._headers

    def invalidate(self) -> None:
        """Nothing to renew."""


@final
class TokenFile:
    """A bearer token in a file that somebody else renews.

    Read again when the file's stamp changes, after :data:`TOKEN_REFRESH_SECONDS`, and after a 401. A file
    that cannot be read any more leaves the last token in use: the server decides when it is too old.

    Reading is a few hundred bytes from a memory file system, so it is done on the loop.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._headers: Mapping[str, str] = {}
        self._stamp: FileStamp | None = None
        self._read_at = float("-inf")

    async def headers(self) -> Mapping[str, str]:
        """The token of the file as it is now.

        Raises:
            ConfigurationError: the file was never readable, or empty.
        """
        stamp = file_stamp(self._path)
        now = self._clock.monotonic()
        if stamp != self._stamp or now - self._read_at >= TOKEN_REFRESH_SECONDS:
            self._load()
            self._stamp, self._read_at = stamp, now
        return self._headers

    def invalidate(self) -> None:
        """Read the file again at the next request, changed or not."""
        self._read_at = float("-inf")

    def _load(self) -> None:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
            trouble = "is empty"
        except (OSError, UnicodeDecodeError) as error:
            token, trouble = "", f"cannot be read ({error.__class__.__name__})"
        if token:
            self._headers = {"Authorization": f"Bearer {token}"}
        elif not self._headers:
            raise ConfigurationError(
                f"token file {self._path} {trouble}: check that the service account's token is mounted there"
            )


@final
@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """All that is needed to speak to one API server.

    Attributes:
        server: ``https://host:port``, perhaps with a path; ``http://`` is taken too (tests, ``kubectl
            proxy``).
        credentials: asked before each request.
        namespace: the namespace to use where none is named.
        ca_file: PEM file of the authorities to trust; read again when it changes.
        ca_data: the same as bytes; used if ``ca_file`` is None. Neither: the system's authorities.
        client_cert_file: PEM file of the client's certificate chain, if any.
        client_key_file: PEM file of its key; None if the key is in the certificate's file.
        certificate_source: gives the two files instead, when they change by name.
        insecure: do not check the server's certificate.
        tls_server_name: name to expect in the certificate, and to send as SNI, instead of the host's.
        proxy_url: HTTP proxy to go through; wins over the environment.
        trust_env: honour HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Off in a pod.
    """

    server: str
    credentials: CredentialProvider = field(default_factory=StaticCredentials, repr=False)
    namespace: str = "default"
    ca_file: str | None = None
    ca_data: bytes | None = field(default=None, repr=False)
    client_cert_file: str | None = None
    client_key_file: str | None = None
    certificate_source: CertificateSource | None = field(default=None, repr=False)
    insecure: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    trust_env: bool = False

    def __post_init__(self) -> None:
        """Refuse what can never work.

        Raises:
            ConfigurationError: a server or proxy address of another scheme.
        """
        if not self.server.startswith(("http://", "https://")):
            raise ConfigurationError(f"server {self.server!r} is no address: write it like https://host:6443")
        if self.proxy_url is not None and not self.proxy_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"proxy-url {self.proxy_url!r} cannot be used: only http:// and https:// are supported"
            )


def in_cluster(
    *, clock: Clock, environ: Mapping[str, str], root: Path = SERVICE_ACCOUNT_ROOT
) -> ConnectionInfo:
    """The connection of a pod's service account.

    Raises:
        ConfigurationError: not in a pod, or its token is not mounted.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ConfigurationError("not in a pod: KUBERNETES_SERVICE_HOST and _PORT are not set")
    for needed in (root / "token", root / "ca.crt"):
        if file_stamp(needed) is None:
            raise ConfigurationError(
                f"in a pod, but {needed} is missing: set automountServiceAccountToken on its account"
            )
    try:
        namespace = (root / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        namespace = ""  # a projected volume may leave it out; nothing but a default depends on it
    return ConnectionInfo(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        credentials=TokenFile(root / "token", clock=clock),
        namespace=namespace or "default",
        ca_file=str(root / "ca.crt"),
    )


async def load_connection(
    kubeconfig: str | None,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    context: str | None = None,
    root: Path = SERVICE_ACCOUNT_ROOT,
) -> ConnectionInfo:
    """Find the cluster: ``kubeconfig``, ``$KUBECONFIG``, the pod's own account, ``~/.kube/config``; first
    found wins.

    Raises:
        ConfigurationError: none of them is there, or the first found is wrong. The text says what was looked
            for.
    """
    from aimctl.runtime.kube.kubeconfig import from_kubeconfig

    named = kubeconfig or environ.get("KUBECONFIG")
    if named:
        return await from_kubeconfig(named, context=context, clock=clock)
    if environ.get("KUBERNETES_SERVICE_HOST") and context is None:
        return in_cluster(clock=clock, environ=environ, root=root)
    default = _default_kubeconfig(environ)
    if file_stamp(default) is None:
        raise ConfigurationError(
            "no cluster found: --kubeconfig is not given, $KUBECONFIG is not set, this is no pod, and "
            f"{default} does not exist; give one of them"
        )
    return await from_kubeconfig(str(default), context=context, clock=clock)


def _default_kubeconfig(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"


FileStamp = tuple[int, int, int]
"""Modification time in ns, size and inode: one of them changes when a file is written or swapped."""


def file_stamp(path: Path | str) -> FileStamp | None:
    """What tells one content of a file from the next, following links; None if it cannot be looked at."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
