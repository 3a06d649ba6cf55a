"""The model of a service that names an image.

Contract:
    * Models of the namespace take precedence over cluster models. An AIMModel hides the AIMClusterModel of its name.
    * If several models have the image, the service is ambiguous, unless it uses one of them already.
    * If none has it, a model is created, unless a model of another image has its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.domain.naming import auto_model_name
from aimctl.domain.resolution import Missing, Reference, Resolved
from aimctl.domain.services.observation import NewModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.api.v1alpha1 import AIMClusterModel, AIMModel, ModelSpec
    from aimctl.domain.models.observation import Model
    from aimctl.kubetypes import Object

__all__ = ["MODEL_AMBIGUOUS", "MODEL_NAME_TAKEN", "resolve_image"]

MODEL_AMBIGUOUS, MODEL_NAME_TAKEN = "ModelAmbiguous", "ModelNameTaken"


def resolve_image(
    image: str,
    *,
    namespaced: Sequence[Object[AIMModel]],
    cluster: Sequence[Object[AIMClusterModel]],
    kept_uid: str = "",
    taken: Model | None = None,
) -> Resolved[ModelSpec] | Missing | NewModel:
    """The model of a service that names ``image``.

    Args:
        image: the image.
        namespaced: the AIMModels of that image in the namespace of the service.
        cluster: the AIMClusterModels of that image that no AIMModel of the namespace hides.
        kept_uid: of the model that the service uses already; "" if there is none.
        taken: the model that has the name of the one to create, in its scope.
    """
    found: list[Model] = [*namespaced, *cluster]
    kept = [item for item in found if kept_uid and item.meta.uid == kept_uid]
    candidates: list[Model] = kept or [*namespaced] or [*cluster]
    if len(candidates) > 1:
        names = ", ".join(sorted(map(_describe, candidates)))
        return Missing(
            MODEL_AMBIGUOUS,
            f"{len(candidates)} models have the image {image!r}: {names}; name one of them in spec.model.ref",
        )
    if candidates:
        (only,) = candidates
        return Resolved(only.view.spec, Reference.of(only))
    if taken is not None:
        return Missing(
            MODEL_NAME_TAKEN,
            f"no model has the image {image!r}, and {_describe(taken)} with the image {taken.view.spec.image!r} has the"
            f" name of the model to create, {auto_model_name(image)!r}; restore the image of that model, delete it, or"
            " create a model of this image under another name",
        )
    return NewModel(image)


def _describe(model: Model) -> str:
    return f"{model.resource.kind} {model.meta.name!r}"
