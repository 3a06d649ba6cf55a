"""Which model a service means that names an image.

Contract:
    * The namespace's models of that image come before the cluster's, which an AIMModel of their name hides.
    * One is it. Several are ambiguous, unless the service has one of them already: that stays.
    * None: one is to be made, unless its name is taken by a model of another image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.domain.models.auto_model import auto_model_name
from aimctl.domain.resolution import Found, Missing, Resolved, resolve_model
from aimctl.domain.services.observation import ModelWish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.api.v1alpha1 import ModelSpec

__all__ = ["MODEL_AMBIGUOUS", "MODEL_NAME_TAKEN", "resolve_image"]

MODEL_AMBIGUOUS, MODEL_NAME_TAKEN = "ModelAmbiguous", "ModelNameTaken"


def resolve_image(
    image: str,
    namespace: str,
    *,
    namespaced: Sequence[Found[ModelSpec]],
    cluster: Sequence[Found[ModelSpec]],
    kept_uid: str = "",
    taken: Found[ModelSpec] | None = None,
) -> Resolved[ModelSpec] | Missing | ModelWish:
    """The model of a service in ``namespace`` that names ``image``.

    Args:
        image: what the service names.
        namespace: the service's.
        namespaced: the AIMModels of that image in the namespace.
        cluster: the AIMClusterModels of that image that no AIMModel of the namespace hides.
        kept_uid: of the model that the service has already.
        taken: what has the name already that the new model would get, in its scope.
    """
    found = [*namespaced, *cluster]
    kept = [item for item in found if kept_uid and item.uid == kept_uid]
    candidates = kept or list(namespaced) or list(cluster)
    if len(candidates) > 1:
        names = ", ".join(sorted(_words(item) for item in candidates))
        return Missing(
            MODEL_AMBIGUOUS,
            f"{len(candidates)} models have the image {image!r}: {names}; name one of them in spec.model.ref",
        )
    if candidates:
        (only,) = candidates
        return resolve_model(
            only.name,
            namespace,
            namespaced=only if only.namespace else None,
            cluster=None if only.namespace else only,
        )
    if taken is not None:
        return Missing(
            MODEL_NAME_TAKEN,
            f"no model has the image {image!r}, and the name {auto_model_name(image)!r} of the one to create is taken"
            f" by {_words(taken)} with the image {taken.spec.image!r}; give that one its image back, delete it, or"
            " create a model of this image under another name",
        )
    return ModelWish(image)


def _words(found: Found[ModelSpec]) -> str:
    return f"AIMModel {found.name!r}" if found.namespace else f"AIMClusterModel {found.name!r}"
