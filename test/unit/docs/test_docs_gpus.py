"""The table of device IDs in the guide is that of the operator."""

from __future__ import annotations

import re
from pathlib import Path

from aimctl.domain.gpus import AMD_DEVICE_IDS

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "template.md"


def test_the_guide_lists_every_device_id_with_its_model():
    rows = re.findall(
        r"^\| ((?:`\w{4}`(?:, )?)+) \| `(\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = {each: model for ids, model in rows for each in re.findall(r"\w{4}", ids)}
    assert listed == dict(AMD_DEVICE_IDS)
