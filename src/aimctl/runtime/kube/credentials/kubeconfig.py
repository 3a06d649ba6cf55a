"""Connections from kubeconfig files.

Contract:
    * What a kubeconfig means is the same as for kubectl. Its recorded behaviour is the test of this module
      (``hack/record_kubeconfig_cases.py``).
    * Every problem becomes a :class:`ConfigurationError` that names the files, the context, the field and the remedy.
    * Credentials that may expire (exec plugins, OIDC) are renewed, see :mod:`.renewal`. Files with a token or a
      certificate are read again when they change. Other changes of a kubeconfig need a restart, as in client-go.

Differences to kubectl: where kubectl asks for a user name and a password, requests are anonymous, and a context whose
user does not exist is an error. Without a current context there is no default server; that is an error, too. kubectl
sends no credentials of the user over plain HTTP; here they are sent to loopback addresses, for the embedded cluster.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final
from urllib.parse import quote

import msgspec

from aimctl.runtime.kube.credentials.addresses import parse_address
from aimctl.runtime.kube.credentials.connection import (
    ConnectionInfo,
    StaticCredentials,
    TokenFile,
    fits_header,
)
from aimctl.runtime.kube.credentials.exec_plugin import check_plugin, run_plugin
from aimctl.runtime.kube.credentials.kubeconfig_files import Cluster, Found, User, read_files
from aimctl.runtime.kube.credentials.oidc import StoredTokens
from aimctl.runtime.kube.credentials.proxy import is_loopback
from aimctl.runtime.kube.credentials.renewal import Issued, RenewedCredentials
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.credentials.connection import CredentialProvider
    from aimctl.runtime.kube.credentials.kubeconfig_files import ExecConfig, Merged

__all__ = ["from_kubeconfig"]

_CHECK_OIDC_SECONDS = 60.0
"""Period of the check of an OIDC token; the check of a valid token is cheap."""

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
"""Name of the cluster extension that provideClusterInfo passes to a plugin as ``config``."""

_SHOWN_NAMES = 20
_SHOWN_CHARACTERS = 250
"""Limits of what messages show of the names in a file."""

_HEADER_KEY_SAFE = "!#$&'*+-.^_`|~"
"""Bytes that client-go does not escape in the key of an ``Impersonate-Extra-`` header (RFC 7230, token)."""


async def from_kubeconfig(
    path: str | Sequence[str] | None, *, context: str | None = None, clock: Clock
) -> ConnectionInfo:
    """Read kubeconfig files and fetch the first credentials.

    Args:
        path: a file, or several joined with ``:`` as in ``$KUBECONFIG``, which are merged; missing ones are skipped. A
            list has one path per item. None for ``~/.kube/config``.
        context: name of the context; None for the current one.
        clock: compared with expiry times.

    Raises:
        ConfigurationError: no file exists, the context does not exist, or an entry cannot be used.
    """
    parts = (path or "~/.kube/config").split(":") if path is None or isinstance(path, str) else list(path)
    paths = _paths(parts)
    found = [one for one in paths if _exists(one)]
    if not found:
        shown = ", ".join(map(str, paths)) or repr(path)
        raise ConfigurationError(f"kubeconfig {shown} does not exist: check --kubeconfig and $KUBECONFIG")
    chosen = f"context {context!r}" if context else "current context"
    label = f"kubeconfig {':'.join(map(str, found))}, {chosen}"
    merged = read_files(paths)
    try:
        return await _Selection.of(merged, context).connection(clock)
    except ConfigurationError as error:
        raise ConfigurationError(f"{label}: {error}") from error.__cause__


@final
@dataclass(frozen=True, slots=True)
class _Selection:
    """The entries of one context."""

    namespace: str
    cluster_name: str
    cluster: Found[Cluster]
    user_name: str
    user: Found[User]

    @classmethod
    def of(cls, merged: Merged, wanted: str | None) -> _Selection:
        name = wanted or merged.current_context
        if not name:
            raise ConfigurationError(
                f"current-context is not set; choose one of: {_names(merged.contexts)} (kubectl config use-context)"
            )
        if name not in merged.contexts:
            raise _missing("contexts", name, merged.contexts)
        context = merged.contexts[name].entry
        if context.cluster not in merged.clusters:
            raise _missing("clusters", context.cluster, merged.clusters)
        if context.user and context.user not in merged.users:
            raise _missing("users", context.user, merged.users)
        return cls(
            namespace=context.namespace or "default",
            cluster_name=context.cluster,
            cluster=merged.clusters[context.cluster],
            user_name=context.user,
            user=merged.users.get(context.user) or Found(User(), Path()),
        )

    async def connection(self, clock: Clock) -> ConnectionInfo:
        cluster, user = self.cluster.entry, self.user.entry
        where = f"user {self.user_name!r}"
        server = self._server()
        ca_file, ca_data = self._file_or_data(
            self.cluster,
            "certificate-authority",
            cluster.certificate_authority,
            cluster.certificate_authority_data,
        )
        if cluster.insecure_skip_tls_verify and (ca_file or ca_data):
            raise ConfigurationError(
                f"cluster {self.cluster_name!r} sets insecure-skip-tls-verify and a certificate authority: "
                "remove one of them"
            )
        cert_file, cert_data = self._file_or_data(
            self.user, "client-certificate", user.client_certificate, user.client_certificate_data
        )
        key_file, key_data = None, None
        if cert_file or cert_data:
            key_file, key_data = self._file_or_data(
                self.user, "client-key", user.client_key, user.client_key_data
            )
            if not key_file and not key_data:
                raise ConfigurationError(
                    f"{where} has a client certificate without key: set client-key or client-key-data"
                )
        impersonation = _impersonation(user, where)
        self._check_methods()
        address = parse_address(server, name="server", example="https://host:6443").url
        if address.scheme == "https" or is_loopback(address):
            credentials = await self._credentials(clock, certificate=bool(cert_file or cert_data))
        else:
            # As in kubectl, credentials do not cross a network without encryption.
            credentials = StaticCredentials()
        return ConnectionInfo(
            server=server,
            credentials=credentials,
            namespace=self.namespace,
            ca_file=ca_file,
            ca_data=ca_data,
            client_cert_file=cert_file,
            client_cert_data=cert_data,
            client_key_file=key_file,
            client_key_data=key_data,
            certificate_source=credentials if isinstance(credentials, RenewedCredentials) else None,
            insecure=cluster.insecure_skip_tls_verify,
            tls_server_name=cluster.tls_server_name or None,
            proxy_url=cluster.proxy_url or None,
            impersonation=impersonation,
            trust_env=True,
        )

    def _server(self) -> str:
        """The address of the server; without a scheme it is http, as in kubectl."""
        server = self.cluster.entry.server
        if not server:
            raise ConfigurationError(
                f"cluster {self.cluster_name!r} has no server: set clusters[].cluster.server"
            )
        return (server if "://" in server else f"http://{server}").rstrip("/")

    def _file_or_data(
        self, found: Found[Any], name: str, file: str, data: str
    ) -> tuple[str | None, bytes | None]:
        """The absolute path, or the decoded data."""
        if file and data:
            raise ConfigurationError(f"{name} and {name}-data are both set: remove one of them")
        if data:
            try:
                return None, base64.b64decode(data.replace("\n", "").replace("\r", ""), validate=True)
            except (binascii.Error, ValueError):
                raise ConfigurationError(
                    f"{name}-data is not valid base64: encode the PEM file with base64"
                ) from None
        if not file:
            return None, None
        path = found.resolve(file)
        try:
            path.open("rb").close()
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"{name} {path} cannot be read ({problem}): check the path") from error
        return str(path), None

    def _check_methods(self) -> None:
        """Reject combinations of credentials of which kubectl does not accept both."""
        user, where = self.user.entry, f"user {self.user_name!r}"
        if (user.token or user.token_file) and (user.username or (user.token and user.password)):
            raise ConfigurationError(f"{where} has a token and a password: remove one of them")
        if user.exec is not None and user.auth_provider is not None:
            raise ConfigurationError(f"{where} has exec and auth-provider: remove one of them")
        if not fits_header(user.token):
            raise ConfigurationError(
                f"{where}: the token contains white space or control characters: remove them"
            )

    async def _credentials(self, clock: Clock, *, certificate: bool) -> CredentialProvider:
        """The credentials of the user. An exec plugin is used only if there are no others, as in client-go."""
        user = self.user.entry
        plugin = check_plugin(user.exec) if user.exec is not None else None
        provider = user.auth_provider
        if provider is not None and provider.name != "oidc":
            raise ConfigurationError(
                f"auth-provider {provider.name!r} is not supported: use an exec plugin, for example "
                "gke-gcloud-auth-plugin or kubelogin"
            )
        if user.token_file:
            file = TokenFile(self.user.resolve(user.token_file), clock=clock, fallback=user.token)
            await file.headers()
            return file
        if user.token:
            return StaticCredentials({"Authorization": f"Bearer {user.token}"})
        if user.username:
            login = f"{user.username}:{user.password}".encode()
            return StaticCredentials({"Authorization": "Basic " + base64.b64encode(login).decode()})
        if provider is not None:
            tokens = StoredTokens(self.user.file, self.user_name, provider.config, clock=clock)

            async def sign_in() -> Issued:
                headers = {"Authorization": f"Bearer {await tokens.id_token()}"}
                return Issued(headers, check_seconds=_CHECK_OIDC_SECONDS)

            return RenewedCredentials(sign_in, await sign_in(), clock=clock)
        if plugin is not None and not certificate:
            return await self._plugin(plugin, clock)
        return StaticCredentials()

    async def _plugin(self, config: ExecConfig, clock: Clock) -> RenewedCredentials:
        if "/" in config.command:
            config = msgspec.structs.replace(config, command=str(self.user.resolve(config.command)))
        cluster = self._cluster_info() if config.provide_cluster_info else None

        async def run() -> Issued:
            issued = await run_plugin(config, cluster)
            headers = {"Authorization": f"Bearer {issued.token}"} if issued.token else {}
            return Issued(headers, issued.certificate, issued.expires)

        return RenewedCredentials(run, await run(), clock=clock)

    def _cluster_info(self) -> dict[str, Any]:
        """``spec.cluster`` of an ExecCredential."""
        cluster = self.cluster.entry
        data = cluster.certificate_authority_data
        if cluster.certificate_authority:
            content = self.cluster.resolve(cluster.certificate_authority).read_bytes()
            data = base64.b64encode(content).decode()
        config = next((one.extension for one in cluster.extensions if one.name == _EXEC_EXTENSION), None)
        fields = {
            "server": cluster.server,
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
            "certificate-authority-data": data,
            "proxy-url": cluster.proxy_url,
            "disable-compression": cluster.disable_compression,
        }
        return {name: value for name, value in fields.items() if value} | {"config": config}


def _paths(parts: Sequence[str]) -> list[Path]:
    return [Path(part).expanduser() for part in dict.fromkeys(parts) if part]


def _exists(path: Path) -> bool:
    """False only if the file does not exist; any other problem is found when it is read."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return True


def _impersonation(user: User, where: str) -> tuple[tuple[str, str], ...]:
    """The ``Impersonate-*`` headers, as client-go writes them."""
    if not user.as_:
        if user.as_uid or user.as_groups or user.as_user_extra:
            raise ConfigurationError(f"{where} sets as-uid, as-groups or as-user-extra: set as as well")
        return ()
    headers = [("Impersonate-User", user.as_)]
    headers += [("Impersonate-Uid", user.as_uid)] if user.as_uid else []
    headers += [("Impersonate-Group", group) for group in user.as_groups]
    for key, values in user.as_user_extra.items():
        headers += [(f"Impersonate-Extra-{quote(key, safe=_HEADER_KEY_SAFE)}", value) for value in values]
    if not all(fits_header(value) for _, value in headers):
        raise ConfigurationError(f"{where}: an impersonation field contains control characters: remove them")
    return tuple(headers)


def _missing(section: str, name: str, entries: Mapping[str, object]) -> ConfigurationError:
    return ConfigurationError(
        f"{section} has no {_shown(name)!r}; existing entries: {_names(entries)}; correct the name, or add the entry"
    )


def _names(entries: Mapping[str, object]) -> str:
    """The names, sorted; those that a terminal could not show as they are, in quotes and escaped."""
    names = [name if name and name.isprintable() else ascii(name) for name in map(_shown, sorted(entries))]
    more = [f"and {len(names) - _SHOWN_NAMES} more"] if len(names) > _SHOWN_NAMES else []
    return ", ".join(names[:_SHOWN_NAMES] + more) or "none"


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "..."
