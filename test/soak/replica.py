"""One manager of the soak test as a program: ``run`` with the reconciler of :mod:`support.soak`.

Two more metrics show whether memory that grows is held by Python objects or by the allocator of the C library:
``soak_python_blocks`` (blocks of the object allocator) and ``soak_malloc_used_bytes`` (bytes in use of ``malloc``).
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from prometheus_client import Gauge

sys.path.insert(0, str(Path(__file__).parent.parent))

from aimctl.runtime import Manager, run
from support.soak import add_soak


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc: ten sizes, of which the eighth is the space in use."""

    _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]


_mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _mallinfo is not None:
    _mallinfo.restype = _Mallinfo


def _malloc_used() -> float:
    return 0.0 if _mallinfo is None else float(_mallinfo().field7)  # 0 with another C library


def add(manager: Manager) -> None:
    """Add the work and the metrics."""
    add_soak(manager)
    registry = manager.metrics.registry
    Gauge("soak_python_blocks", "Blocks of Python's object allocator.", registry=registry).set_function(
        lambda: float(sys.getallocatedblocks())
    )
    Gauge("soak_malloc_used_bytes", "Bytes in use of malloc.", registry=registry).set_function(_malloc_used)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    run(add, name=name, argv=arguments)
