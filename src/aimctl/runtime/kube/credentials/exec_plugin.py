"""Exec plugins of kubeconfigs: programs that print credentials.

Contract, the same as in client-go:
    * The plugin gets an ExecCredential in ``KUBERNETES_EXEC_INFO``, and prints one of the same apiVersion with a token,
      a certificate with its key, or both.
    * Its stderr is that of this process, so the user sees prompts. Its stdin is that of this process if interactiveMode
      allows it and stdin is a terminal; otherwise it is empty.
    * Without a slash, the command is looked up in the PATH of this process. If it is missing, the error contains the
      installHint.

In addition, a plugin has limits for its time and its output. When it exceeds one, or the caller is cancelled, its
process group is killed. An interactive plugin stays in the group of the terminal, so only the plugin itself is killed.

Invariant: no message contains output of the plugin.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - msgspec needs it to decode
from typing import TYPE_CHECKING, Annotated, Any, final

import msgspec

from aimctl.kubetypes.errors import JSON_ERRORS
from aimctl.runtime.kube.credentials.connection import fits_header
from aimctl.runtime.kube.credentials.kubeconfig_files import ExecConfig, parse
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PluginCredentials", "check_plugin", "run_plugin"]

_GROUP = "client.authentication.k8s.io"
_VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")

_SECONDS = 60.0
_INTERACTIVE_SECONDS = 600.0
"""Time limits; in an interactive run the user may have to sign in."""

_DRAIN_SECONDS = 1.0
"""How long to wait for the end of the output of a plugin that was killed."""

_OUTPUT_BYTES = 4 * 1024 * 1024


@final
@dataclass(frozen=True, slots=True)
class PluginCredentials:
    """The result of a plugin: a token, a certificate with its key (PEM), or both; and when they expire, if known."""

    token: str | None = field(repr=False)
    certificate: tuple[bytes, bytes] | None = field(repr=False)
    expires: datetime | None


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Credential(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


def check_plugin(config: ExecConfig) -> ExecConfig:
    """The configuration with its default interactiveMode.

    Raises:
        ConfigurationError: a field is missing or has an invalid value.
    """
    if not config.command:
        raise ConfigurationError("exec.command is missing: set the program to run")
    if config.api_version not in _VERSIONS:
        raise ConfigurationError(
            f"exec.apiVersion is {config.api_version!r}: set one of {', '.join(_VERSIONS)}"
        )
    if any(not variable.name for variable in config.env):
        raise ConfigurationError("exec.env has an entry without name: set the name or remove the entry")
    mode = config.interactive_mode
    if not mode and config.api_version == f"{_GROUP}/v1beta1":
        return msgspec.structs.replace(config, interactive_mode="IfAvailable")
    if mode not in ("Never", "IfAvailable", "Always"):
        raise ConfigurationError(
            f"exec.interactiveMode is {mode or 'missing'}: set Never, IfAvailable or Always"
        )
    return config


async def run_plugin(config: ExecConfig, cluster: Mapping[str, Any] | None) -> PluginCredentials:
    """Run the plugin and return its credentials.

    Args:
        config: a checked configuration; relative commands with a slash are resolved already.
        cluster: ``spec.cluster`` for provideClusterInfo, or None.

    Raises:
        ConfigurationError: there are no credentials; names the command and the reason.
    """
    label = f"exec plugin {config.command}"
    interactive = config.interactive_mode != "Never" and _has_terminal()
    if config.interactive_mode == "Always" and not interactive:
        raise ConfigurationError(
            f"{label} needs a terminal (interactiveMode Always), and stdin is none: run it in a terminal,"
            " or use credentials that need no interaction"
        )
    spec = {**({"cluster": cluster} if cluster is not None else {}), "interactive": interactive}
    info = {"kind": "ExecCredential", "apiVersion": config.api_version, "spec": spec}
    environ = {
        **os.environ,
        **{variable.name: variable.value for variable in config.env},
        "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode(),
    }
    seconds = _INTERACTIVE_SECONDS if interactive else _SECONDS
    try:
        async with asyncio.timeout(seconds):
            output = await _output(config, environ, label, interactive=interactive)
    except TimeoutError:
        raise ConfigurationError(
            f"{label} returned no credentials within {seconds:g} s: run it manually"
        ) from None
    return _decode(output, config.api_version, label)


def _has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


async def _output(config: ExecConfig, environ: Mapping[str, str], label: str, *, interactive: bool) -> bytes:
    program = config.command if "/" in config.command else shutil.which(config.command)
    hint = f"\n{config.install_hint.strip()}" if config.install_hint.strip() else ""
    if program is None:
        raise ConfigurationError(f"{label} is not in the PATH: install it, or correct exec.command{hint}")
    try:
        # A task of its own: if asyncio is cancelled while it starts a process, it kills that process but not its group.
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                program,
                *config.args,
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=environ,
                # A process of another group cannot read from the terminal.
                process_group=None if interactive else 0,
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _unwind(starting, interactive=interactive)
            raise
    except FileNotFoundError:
        raise ConfigurationError(
            f"{label} does not exist: install it, or correct exec.command{hint}"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{label} cannot be run ({error.strerror}): check the permissions of the file{hint}"
        ) from error
    except ValueError as error:
        # Of subprocess: a NUL or an equals sign. Quotes nothing.
        raise ConfigurationError(f"{label} cannot be run ({error}): correct exec.args and exec.env") from None
    try:
        output = await _read(process.stdout, label)
        code = await process.wait()
    except BaseException:
        await _kill(process, interactive=interactive)
        raise
    if code:
        ended = f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}"
        raise ConfigurationError(f"{label} {ended}: see its output on stderr, and run it manually")
    return output


async def _unwind(starting: asyncio.Task[asyncio.subprocess.Process], *, interactive: bool) -> None:
    """Wait until the plugin has started, and kill it."""
    with suppress(OSError, ValueError):
        await _kill(await starting, interactive=interactive)


async def _kill(process: asyncio.subprocess.Process, *, interactive: bool) -> None:
    with suppress(ProcessLookupError):
        if interactive:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):  # only a process that has left the group can hold the pipe open
        async with asyncio.timeout(_DRAIN_SECONDS):
            await process.communicate()  # closes the pipe at its end
    await process.wait()


async def _read(stream: asyncio.StreamReader | None, label: str) -> bytes:
    output = bytearray()
    while stream is not None and (chunk := await stream.read(65536)):
        output += chunk
        if len(output) > _OUTPUT_BYTES:
            raise ConfigurationError(f"{label} printed more than {_OUTPUT_BYTES >> 20} MiB: run it manually")
    return bytes(output)


def _parsed(output: bytes) -> Any:
    """The output as values. As in client-go, output that starts with a brace must be one JSON document.

    Raises:
        ValueError: it is neither JSON nor YAML.
    """
    if not output.lstrip().startswith(b"{"):
        return parse(output)
    try:
        return msgspec.json.decode(output)
    except JSON_ERRORS as error:
        raise ValueError(str(error)) from None


def _decode(output: bytes, api_version: str, label: str) -> PluginCredentials:
    try:
        credential = msgspec.convert(_parsed(output), _Credential)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{label} printed an invalid ExecCredential: {error}; run it manually"
        ) from None
    except ValueError as error:
        raise ConfigurationError(
            f"{label} printed neither JSON nor YAML ({error}): it must print an ExecCredential"
        ) from None
    if credential.kind != "ExecCredential" or credential.api_version != api_version:
        raise ConfigurationError(
            f"{label} printed kind {credential.kind!r} of apiVersion {credential.api_version!r} instead of "
            f"ExecCredential of {api_version!r}: correct exec.apiVersion, or update the plugin"
        )
    status = credential.status
    if status is None:
        raise ConfigurationError(f"{label} printed no status: run it manually")
    certificate, key = status.client_certificate_data, status.client_key_data
    if bool(certificate) != bool(key):
        raise ConfigurationError(f"{label} returned only one of certificate and key: run it manually")
    if not status.token and not certificate:
        raise ConfigurationError(f"{label} returned neither a token nor a certificate: run it manually")
    if not fits_header(status.token or ""):
        raise ConfigurationError(f"{label} returned a token with control characters: run it manually")
    return PluginCredentials(
        status.token or None,
        (certificate.encode(), key.encode()) if certificate and key else None,
        status.expiration_timestamp,
    )
