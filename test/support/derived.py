"""Templates as they are seen once a manifest was created or a spec was edited, for tests of derivation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import CLUSTER_SERVICE_TEMPLATES, SERVICE_TEMPLATES
from aimctl.domain.templates.observed import ObservedTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping


def template_of(manifest: Mapping[str, Any], *, uid: str = "derived-uid") -> ObservedTemplate:
    """A manifest as it is seen once it is created."""
    meta = manifest["metadata"]
    return ObservedTemplate(
        kind=manifest["kind"],
        namespace=meta["namespace"],
        name=meta["name"],
        uid=uid,
        generation=1,
        resource_version="8",
        labels=meta["labels"],
        annotations=meta["annotations"],
        owners=tuple(meta["ownerReferences"]),
        deleting=False,
        view=SERVICE_TEMPLATES.decode(json.dumps({"spec": manifest["spec"]}).encode()),
    )


def with_spec(one: ObservedTemplate, spec: Mapping[str, Any]) -> ObservedTemplate:
    """The template with this spec instead."""
    kind = SERVICE_TEMPLATES if one.namespace else CLUSTER_SERVICE_TEMPLATES
    return replace(one, view=kind.decode(json.dumps({"spec": spec}).encode()))


def edited(one: ObservedTemplate, **spec: Any) -> ObservedTemplate:
    """The template with other fields; None takes one away."""
    body = {**one.view.spec.to_json(), **spec}
    return with_spec(one, {name: value for name, value in body.items() if value is not None})
