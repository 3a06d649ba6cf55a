"""Mermaid diagrams as SVG, drawn when the site is built.

Contract:
    * :func:`svg_of` returns one HTML element without empty lines, which can stand anywhere in a page.
    * The same text gives the same element. Its ids are its own, so a page may have several diagrams.
"""

from __future__ import annotations

import hashlib
import re

import mmdr

__all__ = ["svg_of"]

_OWN_ID = re.compile(r'<svg[^>]*? id="([^"]+)"')


def svg_of(text: str) -> str:
    """A diagram as an HTML element.

    Raises:
        ValueError: it is not valid Mermaid.
    """
    svg = mmdr.render(text, backend="merman").svg()
    found = _OWN_ID.search(svg)
    if found is None:
        raise ValueError(f"this diagram cannot be drawn:\n{text}")
    unique = f"diagram-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    return f'<div class="diagram">{" ".join(svg.replace(found[1], unique).split())}</div>'
