"""Write src/aimctl/devcluster/apiserver/wire/protobuf_types.json: the field numbers of Kubernetes' protobuf messages.

kubectl's typed commands (``create configmap``, ``auth can-i``) send protobuf. The binary of kubectl up to 1.33 contains
the compressed descriptors of all messages:

    python hack/protobuf_types.py $(command -v kubectl)

Each message becomes a list of ``number name type``: ``s`` text, ``i`` integer, ``b`` boolean, ``y`` bytes,
``d`` double, or the name of a message; ``*`` in front of repeated ones, ``%`` in front of maps from text.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src/aimctl/devcluster/apiserver/wire/protobuf_types.json"
ROOTS = (
    *("core", "apps", "batch", "rbac", "authorization", "authentication", "coordination"),
    *("events", "storage", "policy", "autoscaling"),
)
SCALARS = {1: "d", 3: "i", 4: "i", 5: "i", 8: "b", 9: "s", 12: "y", 13: "i"}
MESSAGE = 11
REPEATED = 3


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return the fields of an encoded message."""
    found: list[tuple[int, int | bytes]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            found.append((key >> 3, varint()))
        elif key & 7 == 2:
            size = varint()
            found.append((key >> 3, data[at : at + size]))
            at += size
        else:
            raise ValueError(f"wire type {key & 7} in a descriptor")
    return found


def descriptors(binary: bytes) -> dict[str, bytes]:
    """Return the compressed file descriptors in the binary, by file name."""
    found: dict[str, bytes] = {}
    at = binary.find(b"\x1f\x8b\x08")
    while at >= 0:
        stream = zlib.decompressobj(31)
        try:
            data = stream.decompress(binary[at : at + 400_000])
        except zlib.error:
            data = b""
        if stream.eof and data[:1] == b"\n":
            name = data[2 : 2 + data[1]].decode("utf-8", "replace")
            if name.endswith("/generated.proto"):
                found[name] = data
        at = binary.find(b"\x1f\x8b\x08", at + 3)
    return found


def short(name: str) -> str:
    """Return a message name without the common prefix."""
    name = name.lstrip(".").removeprefix("k8s.io.")
    for prefix in (
        "api.",
        "apimachinery.pkg.apis.",
        "apimachinery.pkg.util.",
        "apimachinery.pkg.api.",
        "apimachinery.pkg.",
    ):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def messages(file: bytes) -> dict[str, list[str]]:
    """Return the messages of one file."""
    package = next(value for number, value in fields(file) if number == 2)
    result: dict[str, list[str]] = {}
    for number, value in fields(file):
        if number == 4:
            describe(package.decode(), value, result)
    return result


def describe(scope: str, descriptor: bytes, result: dict[str, list[str]]) -> None:
    """Return one message and its map entries."""
    parts = fields(descriptor)
    name = scope + "." + next(value for number, value in parts if number == 1).decode()
    entries: dict[str, str] = {}
    for number, value in parts:
        if number == 3:
            nested = dict(field(part) for at, part in fields(value) if at == 2)
            own = next(part for at, part in fields(value) if at == 1).decode()
            entries[f"{name}.{own}"] = nested[2][1]
    lines = []
    for at, part in parts:
        if at != 2:
            continue
        index, (label, kind) = field(part)
        if kind.startswith("*") and kind[1:] in entries:
            kind = "%" + entries[kind[1:]]
        lines.append(f"{index} {label} {kind[:1] + short(kind[1:]) if kind[0] in '*%' else short(kind)}")
    result[short(name)] = lines


def field(part: bytes) -> tuple[int, tuple[str, str]]:
    """Return number, name and type of a field."""
    values = dict(fields(part))
    kind = values[6].decode().lstrip(".") if values[5] == MESSAGE else SCALARS[values[5]]
    return values[3], (values[1].decode(), ("*" if values[4] == REPEATED else "") + kind)


def main(path: str) -> None:
    """Read the binary, and write the messages that the served kinds use."""
    everything: dict[str, list[str]] = {}
    for file in descriptors(Path(path).read_bytes()).values():
        everything.update(messages(file))
    kept: dict[str, list[str]] = {}
    todo = [
        name
        for name in everything
        if name.rpartition(".")[0] in {f"{root}.v1" for root in ROOTS} and not name.endswith("List")
    ] + ["meta.v1.DeleteOptions"]
    while todo:
        name = todo.pop()
        if name in kept or name not in everything:
            continue
        kept[name] = everything[name]
        todo += [line.split()[2].lstrip("*%") for line in everything[name]]
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(kept[name], separators=(',', ':'))}" for name in sorted(kept)
    )
    TARGET.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
