"""What a test of an operator imports: virtual time, and a cluster that needs no machine.

    # conftest.py; fixtures: dev_cluster, kube_client, virtual_time; install aimctl with its extra ``testing``
    pytest_plugins = ["aimctl.testing.plugin"]

The decorator :func:`virtual_time` stands for itself and needs no plugin and no extra.
"""

from aimctl.testing.hosting import hosted as hosted
from aimctl.testing.virtualtime import EPOCH as EPOCH
from aimctl.testing.virtualtime import StalledError as StalledError
from aimctl.testing.virtualtime import run_virtual as run_virtual
from aimctl.testing.virtualtime import virtual_clock as virtual_clock
from aimctl.testing.virtualtime import virtual_time as virtual_time

__all__ = ["EPOCH", "StalledError", "hosted", "run_virtual", "virtual_clock", "virtual_time"]
