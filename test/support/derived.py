"""Derived templates as the cache has them, for tests of derivation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.kubetypes import Object
from support.things import with_fields, with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.templates.template import Template


def template_of(manifest: Mapping[str, Any], *, uid: str = "derived-uid") -> Template:
    """The template that this manifest creates."""
    created = Object.parse(kinds.TEMPLATES, json.dumps(manifest).encode())
    return with_meta(created, uid=uid, generation=1, resourceVersion="8")


def edited(template: Template, **spec: Any) -> Template:
    """The template with other fields of its spec; None removes one."""
    body = {**template.view.spec.to_json(), **spec}
    return with_fields(template, spec={name: value for name, value in body.items() if value is not None})
