"""Virtual time and pytest fixtures for tests of operators.

    # conftest.py: the fixtures dev_cluster, kube_client and virtual_time, which need the extra ``testing``
    pytest_plugins = ["aimctl.testing.plugin"]

The decorator :func:`virtual_time` needs neither the plugin nor the extra.
"""

from aimctl.testing.hosting import hosted as hosted
from aimctl.testing.virtualtime import EPOCH as EPOCH
from aimctl.testing.virtualtime import HotLoopError as HotLoopError
from aimctl.testing.virtualtime import StalledError as StalledError
from aimctl.testing.virtualtime import run_virtual as run_virtual
from aimctl.testing.virtualtime import virtual_clock as virtual_clock
from aimctl.testing.virtualtime import virtual_time as virtual_time

__all__ = ["EPOCH", "HotLoopError", "StalledError", "hosted", "run_virtual", "virtual_clock", "virtual_time"]
