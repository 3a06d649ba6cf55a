"""Kubeconfig files: their types, and how several of them are merged.

Contract:
    * The files are merged as in kubectl: of several clusters, users or contexts with the same name the one of the first
      file is used, unchanged; the current context is that of the first file that sets one.
    * Each entry remembers its file, because relative paths in it are relative to the folder of that file.
    * A file is YAML (JSON is a subset); only the first document is read. Unknown fields are ignored, null is the same
      as a missing field, and an empty file is a file without entries.
    * A file that cannot be used is a :class:`ConfigurationError` that names the file, the field and the remedy. Neither
      the message nor a ``repr`` of an entry contains a value of the file, because it may be a secret.

Differences to kubectl: numbers with an exponent but without a fraction are text, as is ``y``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import msgspec

from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "AuthProvider",
    "Cluster",
    "Context",
    "EnvVar",
    "ExecConfig",
    "Extension",
    "Found",
    "Merged",
    "User",
    "parse",
    "read_files",
]


class _Entry(msgspec.Struct, frozen=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


@final
class Extension(_Entry, frozen=True):
    """A named value of any type."""

    name: str = ""
    extension: Any = None


@final
class Cluster(_Entry, rename="kebab", frozen=True):
    """``clusters[].cluster``. ``disable_compression`` changes nothing: this client never requests compression."""

    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str = ""
    disable_compression: bool = False
    extensions: tuple[Extension, ...] = ()


@final
class EnvVar(_Entry, frozen=True):
    """An environment variable of an exec plugin."""

    name: str = ""
    value: str = ""


@final
class ExecConfig(_Entry, rename="camel", frozen=True):
    """``users[].user.exec``."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    api_version: str = ""
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


@final
class AuthProvider(_Entry, frozen=True):
    """``users[].user.auth-provider``."""

    name: str = ""
    config: dict[str, str] = {}


@final
class User(_Entry, rename="kebab", frozen=True):
    """``users[].user``."""

    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    as_: str = msgspec.field(default="", name="as")
    as_uid: str = ""
    as_groups: tuple[str, ...] = ()
    as_user_extra: dict[str, tuple[str, ...]] = {}
    username: str = ""
    password: str = ""
    auth_provider: AuthProvider | None = None
    exec: ExecConfig | None = None


@final
class Context(_Entry, frozen=True):
    """``contexts[].context``."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(_Entry, frozen=True):
    name: str = ""
    cluster: Cluster = Cluster()


class _NamedUser(_Entry, frozen=True):
    name: str = ""
    user: User = User()


class _NamedContext(_Entry, frozen=True):
    name: str = ""
    context: Context = Context()


@final
class _Config(_Entry, frozen=True):
    api_version: str = msgspec.field(default="", name="apiVersion")
    kind: str = ""
    current_context: str = msgspec.field(default="", name="current-context")
    clusters: tuple[_NamedCluster, ...] = ()
    users: tuple[_NamedUser, ...] = ()
    contexts: tuple[_NamedContext, ...] = ()


_EntryType = TypeVar("_EntryType", Cluster, User, Context)


@final
@dataclass(frozen=True, slots=True)
class Found(Generic[_EntryType]):
    """An entry and the file that contains it."""

    entry: _EntryType
    file: Path

    def resolve(self, name: str) -> Path:
        """The absolute path of a file that the entry names."""
        return self.file.parent.absolute() / name


@final
@dataclass(slots=True)
class Merged:
    """The entries of all files, by name."""

    current_context: str = ""
    clusters: dict[str, Found[Cluster]] = field(default_factory=dict)
    users: dict[str, Found[User]] = field(default_factory=dict)
    contexts: dict[str, Found[Context]] = field(default_factory=dict)


def read_files(paths: Iterable[Path]) -> Merged:
    """Read and merge files. Those that do not exist are skipped.

    Raises:
        ConfigurationError: a file exists and cannot be used.
    """
    merged = Merged()
    for path in paths:
        config = _read(path)
        if config is None:
            continue
        merged.current_context = merged.current_context or config.current_context
        _add(merged.clusters, [(one.name, one.cluster) for one in config.clusters], "clusters", path)
        _add(merged.users, [(one.name, one.user) for one in config.users], "users", path)
        _add(merged.contexts, [(one.name, one.context) for one in config.contexts], "contexts", path)
    return merged


def parse(content: bytes) -> Any:
    """The first document of a YAML or JSON text; None if there is none.

    Raises:
        ValueError: it is neither. The message gives line and column, and quotes nothing.
    """
    import yaml

    try:
        loader = _loader()(content)
        document = loader.get_data() if loader.check_data() else None
        # kubectl converts YAML to JSON: keys become texts, and half of a surrogate pair is rejected.
        text = json.dumps(document, default=_plain, ensure_ascii=False).encode()
        return json.loads(text)
    except UnicodeEncodeError:
        raise ValueError("a text has an invalid Unicode escape (a half of a surrogate pair)") from None
    except yaml.YAMLError as error:
        # The text of the error quotes the line.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{problem or 'it contains invalid characters'}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (ValueError, TypeError):
        raise ValueError("a value does not have its declared type") from None


def _plain(value: object) -> Any:
    """A YAML value that JSON does not have, as kubectl reads it."""
    if isinstance(value, bytes):
        return value.decode()
    return dict.fromkeys(value) if isinstance(value, set) else str(value)


def _read(path: Path) -> _Config | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise ConfigurationError(f"kubeconfig {path} is a directory: specify the file in it") from None
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"kubeconfig {path} cannot be read: {problem}; check the path and the permissions"
        ) from error
    try:
        document = parse(content)
    except ValueError as error:
        raise ConfigurationError(
            f"kubeconfig {path} is not valid YAML: {error}; correct the file or remove it from $KUBECONFIG"
        ) from None
    if document is None:
        return _Config()
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{path} is not a kubeconfig: it has no clusters, users and contexts; specify another file"
        )
    try:
        config = msgspec.convert(_without_nulls(document), _Config)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at ")
        name = where.strip("`").removeprefix("$.") or "the file"
        raise ConfigurationError(
            f"kubeconfig {path}: {name}: {problem.replace('`', '')}; correct the value, "
            "and put text that looks like a number or a boolean in quotes"
        ) from None
    if config.api_version not in ("", "v1") or config.kind not in ("", "Config"):
        raise ConfigurationError(
            f"kubeconfig {path} has apiVersion {config.api_version!r} and kind {config.kind!r}: "
            "specify a file with apiVersion v1 and kind Config"
        )
    return config


def _without_nulls(value: Any, depth: int = 6) -> Any:
    """Remove fields that are null, down to the deepest level of :class:`_Config`. A null in a list becomes {}."""
    if depth and isinstance(value, dict):
        return {
            key: item if key == "extension" else _without_nulls(item, depth - 1)
            for key, item in value.items()
            if item is not None
        }
    if depth and isinstance(value, list):
        return [{} if item is None else _without_nulls(item, depth - 1) for item in value]
    return value


def _add(
    found: dict[str, Found[_EntryType]], entries: list[tuple[str, _EntryType]], section: str, path: Path
) -> None:
    new: Mapping[str, Found[_EntryType]] = {name: Found(entry, path) for name, entry in entries}
    if len(new) < len(entries):
        names = [name for name, _ in entries]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(
            f"kubeconfig {path}: {section} has several entries with the name {twice!r}: remove all but one"
        )
    for name, entry in new.items():
        found.setdefault(name, entry)


@cache
def _loader() -> Any:
    """A YAML loader for which, as for kubectl, dates and times such as ``12:30:00`` are text."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Does not change the resolvers of its base class."""

    tag = "tag:yaml.org,2002:"
    replaced = {tag + name for name in ("timestamp", "int", "float")}
    Loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] not in replaced]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    digits = list("-+0123456789")
    integer = r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)"
    Loader.add_implicit_resolver(tag + "int", re.compile(rf"^{integer}$"), digits)
    number = r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
    Loader.add_implicit_resolver(tag + "float", re.compile(rf"^{number}$"), [*digits, "."])
    return Loader
