"""Pull secrets. They are read from the API server when they are needed, and neither cached nor logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.domain.images.reading import FailedReading
from aimctl.domain.images.registry_auth import PullSecretError, read_pull_secret
from aimctl.kubetypes.builtin import SECRETS
from aimctl.runtime.kube import KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.domain.images.registry_auth import PullEntry
    from aimctl.runtime.kube import Client

__all__ = ["PullSecrets"]


@final
class PullSecrets:
    """Reads Secrets.

    Args:
        client: reads from the API server, past the cache.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(
        self, namespace: str, names: Iterable[str]
    ) -> tuple[tuple[PullEntry, ...], FailedReading | None]:
        """The entries of all usable Secrets in order, and why the first of the others cannot be used.

        An unusable Secret is skipped, as the kubelet does: the image may be public, or another Secret may fit.
        """
        entries: list[PullEntry] = []
        unusable: FailedReading | None = None
        for name in names:
            found = await self._entries(namespace, name)
            if isinstance(found, FailedReading):
                unusable = unusable or found
            else:
                entries += found
        return tuple(entries), unusable

    async def _entries(self, namespace: str, name: str) -> tuple[PullEntry, ...] | FailedReading:
        where = f"pull secret {name!r} in namespace {namespace!r}"
        try:
            secret = await self._client.get(SECRETS, name, namespace)
            return read_pull_secret(secret.view.data or {})
        except NotFound:
            return FailedReading(
                "PullSecretNotFound",
                f"{where} does not exist: create it, or remove it from spec.imagePullSecrets",
            )
        except (PullSecretError, ValueError) as error:  # ValueError: the name is not a valid path segment
            return FailedReading("PullSecretInvalid", f"{where} cannot be used: {error}")
        except KubeError as error:
            return FailedReading("PullSecretUnreadable", f"{where} cannot be read: {error}")
