"""The dashboard is complete, and ``docs/dashboard.md`` describes each of its panels."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from aimctl.api.dashboard import DASHBOARD_LABEL, dashboard
from aimctl.api.dashboard_panels import ROWS
from support.documents import load_yaml

ROOT = Path(__file__).parents[3]


def made_page() -> Any:
    spec = importlib.util.spec_from_file_location("dashboard_page", ROOT / "hack" / "dashboard_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_panels_and_its_pictures_exist() -> None:
    module = made_page()
    text = module.PAGE.read_text(encoding="utf-8")
    assert text == module.page(), "run make docs-dashboard"
    pictures = re.findall(r"\]\((images/[^)]+)\)", text)
    assert len(pictures) == len(ROWS)
    assert [name for name in pictures if not (ROOT / "docs" / name).exists()] == []


def test_the_config_map_has_the_dashboard_and_the_label_of_the_sidecar() -> None:
    body = load_yaml((ROOT / "config/grafana/dashboard.yaml").read_text(encoding="utf-8"))
    assert json.loads(body["data"]["aimctl.json"]) == dashboard()
    assert DASHBOARD_LABEL.items() <= body["metadata"]["labels"].items()


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_every_panel_has_a_title_of_its_own_and_a_help() -> None:
    panels = [panel for panels in ROWS.values() for panel in panels]
    assert len({panel.title for panel in panels}) == len(panels)
    assert all(panel.help.endswith(".") for panel in panels)
    assert {panel["title"] for panel in dashboard()["panels"]} == {*ROWS, *(panel.title for panel in panels)}
