"""Write src/aimctl/devcluster/apiserver/wire/protobuf_types.json: the field numbers of Kubernetes' protobuf messages.

kubectl's typed commands (``create configmap``, ``auth can-i``) send protobuf. The Go modules of Kubernetes contain the
definitions of all messages as text. They are in the module cache after ``go mod download k8s.io/api@v0.36.3
k8s.io/apimachinery@v0.36.3``:

    python hack/protobuf_types.py $(go env GOMODCACHE)/k8s.io/{api,apimachinery}@v0.36.3

Each message becomes a list of ``number name type``: ``s`` text, ``i`` integer, ``b`` boolean, ``y`` bytes,
``d`` double, or the name of a message; ``*`` in front of repeated ones, ``%`` in front of maps from text.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src/aimctl/devcluster/apiserver/wire/protobuf_types.json"
ROOTS = frozenset(
    {
        *(f"{name}.v1" for name in ("core", "apps", "batch", "rbac", "authorization", "authentication")),
        *(f"{name}.v1" for name in ("coordination", "events", "storage", "policy", "autoscaling")),
        *(f"{name}.v1" for name in ("networking", "scheduling", "discovery", "node", "certificates")),
        *("admissionregistration.v1", "autoscaling.v2"),
    }
)
SCALARS = {"double": "d", "string": "s", "bool": "b", "bytes": "y", "int32": "i", "int64": "i", "uint32": "i"}
PREFIXES = (
    "api.",
    "apimachinery.pkg.apis.",
    "apimachinery.pkg.util.",
    "apimachinery.pkg.api.",
    "apimachinery.pkg.",
)
FIELD = re.compile(r"\s*(?:(optional|repeated) (\S+)|map<string, (\S+)>) (\w+) = (\d+);")


def short(name: str) -> str:
    """Return a message name without the common prefix."""
    name = name.lstrip(".").removeprefix("k8s.io.")
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def messages(text: str) -> dict[str, list[str]]:
    """Return the messages of one file."""
    found: dict[str, list[str]] = {}
    package, name = "", ""
    for line in text.splitlines():
        if line.startswith("package "):
            package = line.removeprefix("package ").rstrip(";")
        elif line.startswith("message "):
            name = short(f"{package}.{line.split()[1]}")
            found[name] = []
        elif (match := FIELD.match(line)) is not None:
            label, kind, values, field, number = match.groups()
            kind = kind or values
            kind = SCALARS.get(kind) or short(kind if "." in kind else f"{package}.{kind}")
            mark = "*" if label == "repeated" else "%" if values else ""
            found[name].append(f"{number} {field} {mark}{kind}")
    return found


def main(*modules: str) -> None:
    """Read the modules, and write the messages that the served kinds use."""
    everything: dict[str, list[str]] = {}
    for module in modules:
        for path in sorted(Path(module).rglob("generated.proto")):
            everything.update(messages(path.read_text(encoding="utf-8")))
    kept: dict[str, list[str]] = {}
    todo = [name for name in everything if name.rpartition(".")[0] in ROOTS and not name.endswith("List")]
    todo.append("meta.v1.DeleteOptions")
    while todo:
        name = todo.pop()
        if name in kept or name not in everything:
            continue
        kept[name] = everything[name]
        todo += [line.split()[2].lstrip("*%") for line in everything[name]]
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(kept[name], separators=(',', ':'))}" for name in sorted(kept)
    )
    TARGET.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
