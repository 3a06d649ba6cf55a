"""Connections from kubeconfig files, with the help of kubernetes-asyncio.

That package merges the files, runs exec plugins and gets GCP tokens. It is imported only here, and only when a
kubeconfig is loaded: the import costs 66 MB and almost a second, which a pod does not need.

Contract:
    * Every problem becomes a :class:`ConfigurationError` that names the file, the context and the reason.
    * Credentials are renewed before they expire, once for all requests that wait for them.
    * ``tokenFile`` takes precedence over ``token`` and is read again when it changes, as in client-go.
    * Impersonation (``as``) is an error: if it were ignored, requests would have more rights than intended.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, final

from aimctl.runtime.kube.credentials.connection import (
    ConnectionInfo,
    StaticCredentials,
    TokenFile,
    file_stamp,
)
from aimctl.runtime.kube.credentials.oidc import fresh_id_token
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.runtime.clock import Clock

__all__ = ["from_kubeconfig"]

_SEPARATOR = ":"

_PLUGIN_SECONDS = 60.0
"""Time limit for an exec plugin or a token endpoint; interactive plugins need most of it."""

_EXPIRY_SKEW = timedelta(minutes=5)
"""Tokens are renewed this long before they expire, or after four fifths of their lifetime if that is later."""

_RECHECK_SECONDS = 60.0
"""Period of the check of tokens from auth providers (OIDC, GCP); the check of a valid token is cheap. Also the pause
after a failed renewal while the old credentials are still valid."""

_CERTIFICATE_SECONDS = 600.0
"""Period of runs of a plugin that returns certificates: kubernetes-asyncio does not report their expiry."""


async def from_kubeconfig(path: str | None, *, context: str | None = None, clock: Clock) -> ConnectionInfo:
    """Read kubeconfig files and fetch the first credentials.

    Args:
        path: a file, or several joined with ``:``, which are merged; missing ones are skipped. None for
            ``~/.kube/config``.
        context: name of the context; None for the current one.
        clock: compared with expiry times.

    Raises:
        ConfigurationError: no file exists, the context does not exist, or an entry cannot be used.
    """
    files = _Files(path, context, clock=clock)
    loaded = await files.load()
    user = loaded.user
    if user.get("as"):
        raise ConfigurationError(f"{files}: impersonation (user field 'as') is not supported: remove it")
    credentials: StaticCredentials | TokenFile | _Renewing
    if user.get("tokenFile"):
        credentials = TokenFile(loaded.user_folder / str(user["tokenFile"]), clock=clock)
        await credentials.headers()
    elif "exec" in user or "auth-provider" in user:
        credentials = _Renewing(files, loaded, clock=clock)
    else:
        credentials = StaticCredentials(loaded.headers)
    settings = loaded.settings
    server = settings.get("host")
    if not server:
        raise ConfigurationError(
            f"{files}: the context's cluster has no server: set clusters[].cluster.server"
        )
    try:
        return ConnectionInfo(
            server=server,
            credentials=credentials,
            namespace=loaded.namespace,
            ca_file=settings.get("ssl_ca_cert"),
            client_cert_file=settings.get("cert_file"),
            client_key_file=settings.get("key_file"),
            certificate_source=credentials if isinstance(credentials, _Renewing) else None,
            insecure=settings.get("verify_ssl") is False,
            tls_server_name=settings.get("tls_server_name"),
            proxy_url=settings.get("proxy"),
            trust_env=True,
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{files}: {error}") from error


@final
class _Files:
    """The kubeconfig files and the context; merged again when a file changes."""

    def __init__(self, path: str | None, context: str | None, *, clock: Clock) -> None:
        self._clock = clock
        paths = [Path(part).expanduser() for part in (path or "~/.kube/config").split(_SEPARATOR) if part]
        self._paths = [str(part) for part in paths if file_stamp(part) is not None]
        self._context = context
        self._merged: Any = None
        self._stamps: object = None
        if not self._paths:
            shown = ", ".join(str(part) for part in paths) or repr(path)
            raise ConfigurationError(f"kubeconfig {shown} does not exist: check --kubeconfig and $KUBECONFIG")

    def __str__(self) -> str:
        context = f"context {self._context!r}" if self._context else "current context"
        return f"kubeconfig {_SEPARATOR.join(self._paths)}, {context}"

    async def load(self) -> _Loaded:
        """Read changed files and get valid credentials; runs the exec plugin if there is one.

        Raises:
            ConfigurationError: for any failure.
        """
        try:
            async with asyncio.timeout(_PLUGIN_SECONDS):
                return await self._load()
        except ConfigurationError:
            raise
        except TimeoutError as error:
            raise ConfigurationError(
                f"{self}: no credentials within {_PLUGIN_SECONDS:g} s: run the user's exec command manually"
            ) from error
        except Exception as error:
            # For an invalid file the package raises many types (KeyError, TypeError, AssertionError, those of
            # aiohttp); all of them mean that the kubeconfig cannot be used.
            raise ConfigurationError(f"{self}: {str(error) or error.__class__.__name__}") from error

    async def _load(self) -> _Loaded:
        stamps = [file_stamp(path) for path in self._paths]
        fresh = self._merged is None or stamps != self._stamps
        for path in self._paths if fresh else ():
            _check_file(path)
        from kubernetes_asyncio.config.kube_config import KubeConfigLoader, KubeConfigMerger

        if fresh:
            self._merged, self._stamps = KubeConfigMerger(_SEPARATOR.join(self._paths)), stamps
        wanted = self._context or self._merged.config.value.get("current-context") or ""
        if not wanted:
            names = ", ".join(sorted(node.value["name"] for node in self._merged.config.value["contexts"]))
            raise ConfigurationError(
                f"{self}: current-context is not set; choose one of: {names or 'none'}"
                " (kubectl config use-context)"
            )
        context = self._entry("contexts", wanted)
        entry = context.value["context"]
        user = self._entry("users", entry["user"]) if entry.get("user") else None
        loader = KubeConfigLoader(
            config_dict={
                "current-context": wanted,
                "contexts": [context],
                "clusters": [self._entry("clusters", entry["cluster"])],
                "users": [await self._signed_in(user)] if user is not None else [],
            },
            config_base_path=None,
        )
        if user is None:
            loader.cert_file = loader.key_file = None  # normally set from the user entry
        target = SimpleNamespace(api_key={})
        await loader.load_and_set(target)
        return _Loaded(
            settings=vars(target),
            namespace=entry.get("namespace") or "default",
            user=user.value["user"] if user is not None else {},
            user_folder=Path(user.path).parent if user is not None else Path(),
            expires=getattr(loader, "exec_plugin_expiry", None),
        )

    def _entry(self, section: str, name: str) -> Any:
        """The entry of that name. Its node is renamed, because the merger's names contain whole entries and appear in
        errors.
        """
        from kubernetes_asyncio.config.kube_config import ConfigNode

        found = {node.value["name"]: node for node in self._merged.config.value[section]}
        if name not in found:
            raise ConfigurationError(
                f"{self}: {section} has no {name!r}; existing entries: {', '.join(sorted(found)) or 'none'}"
            )
        value = found[name].value
        kind = section.removesuffix("s")
        return ConfigNode(f"{kind} {name}", {**value, kind: value.get(kind) or {}}, found[name].path)

    async def _signed_in(self, node: Any) -> Any:
        """The user entry, with an OIDC provider replaced by its token; a new token is saved in the file."""
        from kubernetes_asyncio.config.kube_config import ConfigNode

        user = node.value["user"]
        provider = user.get("auth-provider") or {}
        if provider.get("name") != "oidc":
            return node
        settings = provider.get("config") or {}
        before = dict(settings)
        token = await fresh_id_token(settings, folder=Path(node.path).parent, clock=self._clock)
        if settings != before:
            with suppress(OSError):  # if the file is read-only, the new token is kept in memory
                self._merged.save_changes()
                self._stamps = [file_stamp(path) for path in self._paths]
        rest = {name: value for name, value in user.items() if name != "auth-provider"}
        return ConfigNode(node.name, {**node.value, "user": {**rest, "token": token}}, node.path)


def _check_file(path: str) -> None:
    """Report problems of a file for which the merging package has no clear error."""
    import yaml

    try:
        document = yaml.safe_load(Path(path).read_bytes())
    except IsADirectoryError:
        raise ConfigurationError(f"kubeconfig {path} is a directory: specify the file in it") from None
    except OSError as error:
        raise ConfigurationError(f"kubeconfig {path} cannot be read: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        # The message of the error quotes the line, which may contain a token.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigurationError(
            f"kubeconfig {path} is not valid YAML: {where}{problem or 'unreadable'}"
        ) from None
    if document is None:
        raise ConfigurationError(f"kubeconfig {path} is empty: specify another file")
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} is not a kubeconfig: it has no clusters, users and contexts")


@final
class _Loaded:
    """The result of loading a kubeconfig. Not a dataclass, because its repr would show tokens."""

    def __init__(
        self,
        *,
        settings: Mapping[str, Any],
        namespace: str,
        user: Mapping[str, Any],
        user_folder: Path,
        expires: Any,
    ) -> None:
        self.settings = settings
        self.namespace = namespace
        self.user = user
        self.user_folder = user_folder
        self.expires = expires

    @property
    def headers(self) -> Mapping[str, str]:
        token = self.settings["api_key"].get("BearerToken")
        return {"Authorization": token} if token else {}

    @property
    def certificate_files(self) -> tuple[str, str] | None:
        cert, key = self.settings.get("cert_file"), self.settings.get("key_file")
        return (cert, key) if cert and key else None


@final
class _Renewing:
    """Credentials of an exec plugin or an auth provider.

    Invariants:
        * There is one renewal at a time. Requests in the meantime wait for it and share its result, including a
          failure. If the request that renews is cancelled, the next one renews.
        * Credentials that the server has not rejected stay in use until they expire, even if their renewal fails.
    """

    def __init__(self, files: _Files, loaded: _Loaded, *, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._turn = asyncio.Lock()
        self._valid_until = 0.0
        self._refused = False
        self._failure: tuple[float, ConfigurationError] | None = None
        """Time and error of the last failed renewal."""
        self._keep(loaded)

    async def headers(self) -> Mapping[str, str]:
        """The headers, renewed if they are about to expire."""
        asked = self._clock.monotonic()
        if asked >= self._valid_until:
            waited = self._turn.locked()
            async with self._turn:
                if waited and self._failure is not None and self._failure[0] >= asked:
                    raise ConfigurationError(str(self._failure[1])) from self._failure[1]
                if self._clock.monotonic() >= self._valid_until:
                    await self._renew()
        return self._loaded.headers

    def invalidate(self) -> None:
        """Renew before the next request."""
        self._valid_until = float("-inf")
        self._refused = True

    def certificate_files(self) -> tuple[str, str] | None:
        """The certificate of the plugin, or of the kubeconfig."""
        return self._loaded.certificate_files

    async def _renew(self) -> None:
        try:
            self._keep(await self._files.load())
        except ConfigurationError as error:
            now, expires = self._clock.monotonic(), self._loaded.expires
            if expires is None or self._refused or expires <= self._clock.now():
                self._failure = now, error
                raise
            self._valid_until = now + _RECHECK_SECONDS

    def _keep(self, loaded: _Loaded) -> None:
        if not loaded.headers and loaded.certificate_files is None:
            raise ConfigurationError(
                f"{self._files}: the user's exec command returned neither a token nor a certificate"
            )
        self._loaded = loaded
        self._refused = False
        self._valid_until = self._clock.monotonic() + self._lifetime(loaded)

    def _lifetime(self, loaded: _Loaded) -> float:
        if loaded.expires is not None:
            left: timedelta = loaded.expires - self._clock.now()
            return max(left - _EXPIRY_SKEW, left * 0.8).total_seconds()
        if "exec" not in loaded.user:
            return _RECHECK_SECONDS
        return float("inf") if loaded.headers else _CERTIFICATE_SECONDS
