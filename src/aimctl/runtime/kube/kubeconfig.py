"""Connections from kubeconfig files, through kubernetes-asyncio.

That package merges the files, runs exec plugins and gets GCP tokens. It is imported here only,
and only when a kubeconfig is loaded: the import costs 66 MB and most of a second, which a pod need not pay.

Contract:
    * Whatever is wrong becomes a :class:`ConfigurationError` that names the file, the context and what was
      found.
    * Credentials that expire are fetched anew before they do, once for all requests that wait for them.
    * ``tokenFile`` wins over ``token`` and is read again as it changes, as with client-go.
    * Impersonation (``as``) is refused: ignoring it would act with rights the user meant not to use.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, final

from aimctl.runtime.kube.connection import ConnectionInfo, StaticCredentials, TokenFile, file_stamp
from aimctl.runtime.kube.errors import ConfigurationError
from aimctl.runtime.kube.oidc import fresh_id_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.runtime.clock import Clock

__all__ = ["from_kubeconfig"]

_SEPARATOR = ":"

_PLUGIN_SECONDS = 60.0
"""How long an exec plugin or a token endpoint may take; a plugin that asks a person needs most of it."""

_EXPIRY_SKEW = timedelta(minutes=5)
"""Tokens are renewed this long before they expire, or at four fifths of their life if that is later."""

_RECHECK_SECONDS = 60.0
"""How often the tokens of auth providers (OIDC, GCP) are looked at; a look at a valid one is cheap. Also the pause
after a renewal that failed while the old credentials are still good."""

_CERTIFICATE_SECONDS = 600.0
"""How often a plugin that gives certificates is run: kubernetes-asyncio does not pass on when they expire."""


async def from_kubeconfig(path: str | None, *, context: str | None = None, clock: Clock) -> ConnectionInfo:
    """Read kubeconfig files and fetch the first credentials.

    Args:
        path: a file, or several joined with ``:``, which are merged; of those, missing ones are skipped.
            None reads ``~/.kube/config``.
        context: which context; None takes the current one.
        clock: for expiry.

    Raises:
        ConfigurationError: no file, no such context, or an entry that cannot be used.
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


@final
class _Files:
    """The files and the context, merged once and again when one of them changes."""

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
        """Read what has changed and get credentials that are valid now; runs the plugin if there is one.

        Raises:
            ConfigurationError: anything at all went wrong.
        """
        try:
            async with asyncio.timeout(_PLUGIN_SECONDS):
                return await self._load()
        except ConfigurationError:
            raise
        except TimeoutError as error:
            raise ConfigurationError(
                f"{self}: no credentials within {_PLUGIN_SECONDS:g} s: run the user's exec command by hand"
            ) from error
        except Exception as error:
            # The package raises whatever it stumbles over (KeyError, TypeError, AssertionError, aiohttp's,
            # ...) when a file is not as it should be; each means that this kubeconfig cannot be used.
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
            loader.cert_file = loader.key_file = None  # it would look for them in a user that is not there
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
        """The entry of that name, renamed: the merger's names hold whole entries, and errors show names."""
        from kubernetes_asyncio.config.kube_config import ConfigNode

        found = {node.value["name"]: node for node in self._merged.config.value[section]}
        if name not in found:
            raise ConfigurationError(
                f"{self}: {section} has no {name!r}; there are: {', '.join(sorted(found)) or 'none'}"
            )
        value = found[name].value
        kind = section.removesuffix("s")
        return ConfigNode(f"{kind} {name}", {**value, kind: value.get(kind) or {}}, found[name].path)

    async def _signed_in(self, node: Any) -> Any:
        """The user's entry, with an OIDC provider replaced by its token; a new token is kept in the file."""
        from kubernetes_asyncio.config.kube_config import ConfigNode

        user = node.value["user"]
        provider = user.get("auth-provider") or {}
        if provider.get("name") != "oidc":
            return node
        settings = provider.get("config") or {}
        before = dict(settings)
        token = await fresh_id_token(settings, folder=Path(node.path).parent, clock=self._clock)
        if settings != before:
            with suppress(OSError):  # read-only files: the new token then lives as long as the process
                self._merged.save_changes()
                self._stamps = [file_stamp(path) for path in self._paths]
        rest = {name: value for name, value in user.items() if name != "auth-provider"}
        return ConfigNode(node.name, {**node.value, "user": {**rest, "token": token}}, node.path)


def _check_file(path: str) -> None:
    """Say plainly what the merging package would only stumble over."""
    import yaml

    try:
        document = yaml.safe_load(Path(path).read_bytes())
    except IsADirectoryError:
        raise ConfigurationError(f"kubeconfig {path} is a folder: name the file in it") from None
    except OSError as error:
        raise ConfigurationError(f"kubeconfig {path} cannot be read: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        # The package's own text quotes the line, which may hold a token.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigurationError(f"kubeconfig {path} is not YAML: {where}{problem or 'unreadable'}") from None
    if document is None:
        raise ConfigurationError(f"kubeconfig {path} is empty: write one, or name another file")
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"kubeconfig {path} is no kubeconfig: it has no clusters, users and contexts"
        )


@final
class _Loaded:
    """What one load of a kubeconfig gave. Its repr shows nothing, since tokens are in it."""

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

    Invariant: one renewal at a time. Requests that come meanwhile wait for it and share its outcome, also when
    it fails. A cancelled request gives its turn to the next. Credentials that the server has not refused stay in
    use until they expire, whatever becomes of their renewal.
    """

    def __init__(self, files: _Files, loaded: _Loaded, *, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._turn = asyncio.Lock()
        self._valid_until = 0.0
        self._refused = False
        self._failure: tuple[float, ConfigurationError] | None = None
        """The last renewal's, and when it was over."""
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
        """The plugin's certificate, or the kubeconfig's."""
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
                f"{self._files}: the user's exec command gave neither a token nor a certificate"
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
