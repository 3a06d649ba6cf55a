"""The bodies of responses: objects in the requested version, their metadata, or tables.

Contract: a :class:`Renderer` serves one request. Objects at the stored version are returned as the stored bytes; only
tables, conversions and YAML decode them. As on the real server, list items of built-in kinds have no ``apiVersion`` and
``kind``, those of custom kinds have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

import msgspec

from aimctl.devcluster.storage.records import Record, encode_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.wire.requests import Form

__all__ = ["Include", "Page", "Renderer", "encode"]

Include = Literal["Metadata", "None", "Object"]


class _MetadataOnly(msgspec.Struct):
    metadata: msgspec.Raw


_metadata_only = msgspec.json.Decoder(_MetadataOnly)


@final
class Page(msgspec.Struct, frozen=True):
    """The result of a list request. ``remaining`` is None if it is not known."""

    records: Sequence[Record]
    version: int
    continue_token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """``metav1.ListMeta``."""
        meta: dict[str, Any] = {"resourceVersion": str(self.version)}
        if self.continue_token:
            meta["continue"] = self.continue_token
        if self.remaining:
            meta["remainingItemCount"] = self.remaining
        return meta


def encode(value: Any, *, yaml: bool = False) -> bytes:
    """Encode a document as JSON or YAML."""
    if yaml:
        import yaml as library

        return library.safe_dump(value, sort_keys=False, encoding="utf-8")
    return msgspec.json.encode(value)


@final
class Renderer:
    """Renders objects of one kind for one request.

    Args:
        kind: the kind at the requested version.
        form: the negotiated form.
        include: what table rows contain of their object.
        now: the current time, for the ages in tables.
    """

    def __init__(
        self, kind: ServedKind, form: Form, *, include: Include = "Metadata", now: Callable[[], datetime]
    ) -> None:
        self._kind = kind
        self._form = form
        self._include = include
        self._now = now
        self._headers_sent = False
        resource = kind.resource
        self._api = resource.api_version.encode()
        self._head = b'{"apiVersion":"%b","kind":"%b",' % (self._api, resource.kind.encode())

    def body(self, record: Record) -> bytes:
        """The response to a get."""
        if self._form.shape == "table":
            return self._table([record], {"resourceVersion": str(record.version)})
        raw = self._metadata(record) if self._form.shape == "metadata" else self.raw(record)
        return encode(msgspec.json.decode(raw), yaml=True) if self._form.yaml else raw

    def document(self, obj: dict[str, Any]) -> bytes:
        """The response with an object at the stored version that is not stored (dry run, or just deleted)."""
        version = int(obj["metadata"].get("resourceVersion") or 0)
        return self.body(Record(obj, encode_object(obj), version))

    def list(self, page: Page) -> bytes:
        """The response to a list."""
        if self._form.shape == "table":
            return self._table(page.records, page.metadata)
        if self._form.shape == "metadata":
            head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{self._form.version}"}
            items = [self._metadata(record) for record in page.records]
        else:
            head = {"kind": self._kind.list_kind, "apiVersion": self._kind.resource.api_version}
            items = [self.raw(record) for record in page.records]
            if not self._kind.custom:
                cut, head_bytes = len(self._head), self._head
                items = [b"{" + item[cut:] if item.startswith(head_bytes) else item for item in items]
        start = msgspec.json.encode({**head, "metadata": page.metadata})[:-1]
        raw = start + b',"items":[' + b",".join(items) + b"]}"
        return encode(msgspec.json.decode(raw), yaml=True) if self._form.yaml else raw

    def event(self, type_: str, record: Record) -> bytes:
        """One line of a watch."""
        if self._form.shape == "table":
            raw = self._table([record], {"resourceVersion": str(record.version)})
            self._headers_sent = True
        elif self._form.shape == "metadata":
            raw = self._metadata(record)
        else:
            raw = self.raw(record)
        return b'{"type":"%b","object":%b}\n' % (type_.encode(), raw)

    def bookmark(self, version: int, *, initial_events_end: bool = False) -> bytes:
        """A bookmark line of a watch."""
        resource = self._kind.resource
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if self._form.shape == "metadata":
            head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self._form.version}"}
        else:
            head = {"kind": resource.kind, "apiVersion": resource.api_version}
        return encode({"type": "BOOKMARK", "object": {**head, "metadata": metadata}}) + b"\n"

    def raw(self, record: Record) -> bytes:
        """The object as JSON in the requested version."""
        raw = record.raw
        if self._kind.rules.convert_out is not None:
            return encode(self._kind.rules.convert_out(record.object()))
        if raw.startswith(self._head):
            return raw
        end = raw.index(b'","kind":"')
        return b'{"apiVersion":"' + self._api + raw[end:]

    def _metadata(self, record: Record) -> bytes:
        metadata = bytes(_metadata_only.decode(record.raw).metadata)
        version = self._form.version.encode()
        return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":%b}' % (
            version,
            metadata,
        )

    def _table(self, records: Sequence[Record], metadata: dict[str, Any]) -> bytes:
        from aimctl.devcluster.apiserver.tables.render import render_table

        objects = [msgspec.json.decode(self.raw(record)) for record in records]
        table = render_table(self._kind, objects, include=self._include, now=self._now())
        table["apiVersion"] = f"meta.k8s.io/{self._form.version}"
        table["metadata"] = metadata
        if self._headers_sent:
            table["columnDefinitions"] = None
        return encode(table, yaml=self._form.yaml)
