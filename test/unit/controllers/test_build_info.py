"""A metric has the version, so that a dashboard shows which one runs."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry

from aimctl import __version__
from aimctl.controllers.metrics import OperatorMetrics


def test_the_build_info_has_the_versions_of_aimctl_and_of_python() -> None:
    registry = CollectorRegistry()
    OperatorMetrics(registry)
    labels = {"version": __version__, "python": platform.python_version()}
    assert registry.get_sample_value("aimctl_build_info", labels) == 1
