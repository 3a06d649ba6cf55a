"""Connection settings and credentials for an API server.

Contract:
    * A :class:`ConnectionInfo` is a value: it opens no connection and is not bound to an event loop. The transport
      reads the files it names, again whenever they change.
    * A :class:`CredentialProvider` is called before each request, so short-lived tokens are current.
    * :func:`load_connection` uses the search order of controller-runtime: ``--kubeconfig``, ``$KUBECONFIG``, the
      service account of the pod, ``~/.kube/config``.

Invariant: no secret appears in a ``repr``, a log line or an error message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, final

from aimctl.runtime.kube.credentials.addresses import parse_address
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.credentials.addresses import Address

__all__ = [
    "CertificateSource",
    "ConnectionInfo",
    "CredentialProvider",
    "StaticCredentials",
    "TokenFile",
    "file_stamp",
    "fits_header",
    "in_cluster",
    "load_connection",
]

SERVICE_ACCOUNT_ROOT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Mount path of a pod's service account."""

TOKEN_REFRESH_SECONDS = 60.0
"""Longest time between two reads of a token file; the same as in client-go."""


class CredentialProvider(Protocol):
    """Credentials in the form of request headers."""

    async def headers(self) -> Mapping[str, str]:
        """The current headers; equal results mean the same credentials.

        Raises:
            ConfigurationError: no credentials are available; the message names the file or plugin.
        """
        ...

    def invalidate(self) -> None:
        """Called after a 401: the next :meth:`headers` must not use cached credentials."""
        ...


class CertificateSource(Protocol):
    """A client certificate that changes while the process runs, as exec plugins provide."""

    def client_certificate(self) -> tuple[bytes, bytes] | None:
        """Certificate chain and private key (PEM), or None for no client certificate.

        Called before each request; another object than before means another certificate.
        """
        ...


@final
class StaticCredentials:
    """Constant headers. ``StaticCredentials()`` sends none."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})

    @classmethod
    def bearer(cls, token: str) -> StaticCredentials:
        """A fixed bearer token."""
        return cls({"Authorization": f"Bearer {token.strip()}"})

    async def headers(self) -> Mapping[str, str]:
        """The headers passed to the constructor."""
        return self._headers

    def invalidate(self) -> None:
        """Does nothing: the headers cannot be renewed."""


@final
class TokenFile:
    """A bearer token in a file that another process renews.

    The file is read again when it changes, after :data:`TOKEN_REFRESH_SECONDS`, and after a 401. If it can no
    longer be read, the last token stays in use: the server decides when it has expired.

    The file has a few hundred bytes in a memory file system, so it is read on the event loop.

    Args:
        path: the file.
        clock: measures the time between two reads.
        fallback: the token to use while the file cannot be read; empty for none.
    """

    def __init__(self, path: Path, *, clock: Clock, fallback: str = "") -> None:
        self._path = path
        self._clock = clock
        self._headers: Mapping[str, str] = {"Authorization": f"Bearer {fallback}"} if fallback else {}
        self._stamp: FileStamp | None = None
        self._read_at = float("-inf")

    async def headers(self) -> Mapping[str, str]:
        """The token currently in the file.

        Raises:
            ConfigurationError: no token has been read yet, and the file is empty or cannot be read.
        """
        stamp = file_stamp(self._path)
        now = self._clock.monotonic()
        if stamp != self._stamp or now - self._read_at >= TOKEN_REFRESH_SECONDS:
            self._load()
            self._stamp, self._read_at = stamp, now
        return self._headers

    def invalidate(self) -> None:
        """Read the file again before the next request, even if it has not changed."""
        self._read_at = float("-inf")

    def _load(self) -> None:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
            problem = "is empty"
            if not fits_header(token):
                token, problem = "", "contains control characters or several lines"
        except (OSError, UnicodeDecodeError) as error:
            token, problem = "", f"cannot be read ({error.__class__.__name__})"
        if token:
            self._headers = {"Authorization": f"Bearer {token}"}
        elif not self._headers:
            raise ConfigurationError(
                f"token file {self._path} {problem}: check the path, and in a pod that the service account's token is"
                " mounted there"
            )


@final
@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """The settings for connections to one API server.

    Attributes:
        server: ``https://host:port``, optionally with a path; also ``http://`` (tests, ``kubectl proxy``). A user and
            password in it are moved to ``server_login``.
        server_login: ``Authorization`` header that takes precedence over that of ``credentials``, as in kubectl.
        credentials: called before each request.
        namespace: default namespace.
        ca_file: PEM file with the trusted certificate authorities; read again when it changes.
        ca_data: the same as bytes; used if ``ca_file`` is None. Without both, the system's authorities are trusted.
        client_cert_file: PEM file with the client certificate chain, or None; read again when it changes.
        client_key_file: PEM file with the private key; None if the key is in the certificate file.
        client_cert_data: the client certificate chain as bytes; used if ``client_cert_file`` is None.
        client_key_data: the private key as bytes; used if ``client_key_file`` is None. It is never written to a disk.
        certificate_source: takes precedence over these four if it returns a certificate.
        insecure: do not verify the server's certificate.
        tls_server_name: name to expect in the certificate and to send as SNI, instead of the host name.
        proxy_url: HTTP proxy, possibly with user and password; takes precedence over the environment.
        impersonation: ``Impersonate-*`` headers, sent with each request.
        trust_env: use HTTPS_PROXY, HTTP_PROXY and NO_PROXY. False in a pod. ``~/.netrc`` is never read.
    """

    server: str
    credentials: CredentialProvider = field(default_factory=StaticCredentials, repr=False)
    namespace: str = "default"
    ca_file: str | None = None
    ca_data: bytes | None = field(default=None, repr=False)
    client_cert_file: str | None = None
    client_key_file: str | None = None
    client_cert_data: bytes | None = field(default=None, repr=False)
    client_key_data: bytes | None = field(default=None, repr=False)
    certificate_source: CertificateSource | None = field(default=None, repr=False)
    insecure: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = field(default=None, repr=False)
    trust_env: bool = False
    server_login: str | None = field(default=None, repr=False)
    impersonation: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Validate the addresses.

        Raises:
            ConfigurationError: ``server`` or ``proxy_url`` is not a usable URL of the scheme http or https.
        """
        server = parse_address(self.server, name="server", example="https://host:6443")
        if server.authorization is not None:
            object.__setattr__(self, "server", str(server.url))
            object.__setattr__(self, "server_login", server.authorization)
        self.proxy()

    def proxy(self) -> Address | None:
        """The address of ``proxy_url``.

        Raises:
            ConfigurationError: it is not the URL of an HTTP proxy.
        """
        if self.proxy_url is None:
            return None
        return parse_address(self.proxy_url, name="proxy-url", example="http://proxy:3128")


def fits_header(value: str) -> bool:
    """Whether HTTP allows the text as the value of a header."""
    return not any(character < " " or character == "\x7f" for character in value)


def in_cluster(
    *, clock: Clock, environ: Mapping[str, str], root: Path = SERVICE_ACCOUNT_ROOT
) -> ConnectionInfo:
    """The connection with the service account of the pod.

    Raises:
        ConfigurationError: the process does not run in a pod, or the token is not mounted.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ConfigurationError(
            "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; run the process in a pod,"
            " or use a kubeconfig"
        )
    for needed in (root / "token", root / "ca.crt"):
        if file_stamp(needed) is None:
            raise ConfigurationError(
                f"in a pod, but {needed} is missing: set automountServiceAccountToken on its service account"
            )
    try:
        namespace = (root / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        namespace = ""  # optional in a projected volume; only a default depends on it
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
    """Find the cluster. Uses the first that exists of ``kubeconfig``, ``$KUBECONFIG``, the pod's service account and
    ``~/.kube/config``.

    Args:
        kubeconfig: path of one file; None or "" to search the other places. ``$KUBECONFIG`` may be several files joined
            with ``:``.
        environ: environment variables.
        clock: for the renewal of credentials.
        context: of the kubeconfig; None or "" for its current one. With a context the service account is not used.
        root: folder of the mounted service account.

    Raises:
        ConfigurationError: none of them exists, or the first that exists cannot be used. The message names the places.
    """
    from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig

    if kubeconfig:
        return await from_kubeconfig([kubeconfig], context=context, clock=clock)
    if environ.get("KUBECONFIG"):
        return await from_kubeconfig(environ["KUBECONFIG"], context=context, clock=clock)
    if environ.get("KUBERNETES_SERVICE_HOST") and not context:
        return in_cluster(clock=clock, environ=environ, root=root)
    default = _default_kubeconfig(environ)
    if file_stamp(default) is None:
        raise ConfigurationError(
            "no cluster found: --kubeconfig is not given, $KUBECONFIG is not set, the process does not run in a pod, "
            f"and {default} does not exist; provide one of them"
        )
    return await from_kubeconfig([str(default)], context=context, clock=clock)


def _default_kubeconfig(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"


FileStamp = tuple[int, int, int]
"""Modification time in ns, size and inode: one of them changes when a file is written or replaced."""


def file_stamp(path: Path | str) -> FileStamp | None:
    """A value that changes with the content of a file, following links; None if the file cannot be accessed."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
