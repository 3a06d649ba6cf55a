"""The words by which a person names one of the nine kinds, and the short words by which we name things back.

Contract: a kind is known by its name in any case, its plural, its short name, and by ``plural.group``. Nothing here
imports the types: shell completion must not wait for them. A unit test holds the table and the types together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["KIND_WORDS", "KindWord", "find_kind", "short_name"]

_GROUP = ".aim.silogen.ai"


@final
@dataclass(frozen=True, slots=True)
class KindWord:
    """One kind, in words.

    Attributes:
        kind: its name in manifests.
        plural: its word in URLs and roles.
        short: what ``kubectl`` takes as well.
        namespaced: whether its objects live in namespaces.
        help: what it is, for completion.
    """

    kind: str
    plural: str
    short: str
    namespaced: bool
    help: str


KIND_WORDS = (
    KindWord("AIMService", "aimservices", "aimsvc", True, "a wish to serve a model"),
    KindWord("AIMServiceTemplate", "aimservicetemplates", "aimst", True, "a runtime profile of a namespace"),
    KindWord(
        "AIMClusterServiceTemplate",
        "aimclusterservicetemplates",
        "aimclst",
        False,
        "a runtime profile for the cluster",
    ),
    KindWord("AIMModel", "aimmodels", "aimmdl", True, "a model of a namespace"),
    KindWord("AIMClusterModel", "aimclustermodels", "aimclmdl", False, "a model for the cluster"),
    KindWord(
        "AIMTemplateCache",
        "aimtemplatecaches",
        "aimtc",
        True,
        "a template's sources on a namespace's volumes",
    ),
    KindWord("AIMModelCache", "aimmodelcaches", "aimmc", True, "one source on one volume"),
    KindWord("AIMRuntimeConfig", "aimruntimeconfigs", "aimrcfg", True, "defaults of a namespace"),
    KindWord(
        "AIMClusterRuntimeConfig", "aimclusterruntimeconfigs", "aimcrcfg", False, "defaults of the cluster"
    ),
)
"""The nine, in the order in which a person asks for them."""

_OTHERS = {
    "Job": "job",
    "Pod": "pod",
    "PersistentVolumeClaim": "pvc",
    "StorageClass": "storageclass",
    "InferenceService": "inferenceservice",
    "Secret": "secret",
}


def find_kind(word: str) -> KindWord | None:
    """The kind a person means."""
    text = word.lower().removesuffix(_GROUP)
    for one in KIND_WORDS:
        if text in {one.kind.lower(), one.plural, one.short}:
            return one
    return None


def short_name(kind: str) -> str:
    """What to type after ``kubectl get`` for this kind."""
    found = find_kind(kind)
    return found.short if found is not None else _OTHERS.get(kind, kind.lower())
