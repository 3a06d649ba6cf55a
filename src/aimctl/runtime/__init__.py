"""A controller-runtime-style reconciler library for asyncio.

Rooms, ground floor first: ``clock``, ``kube`` (the wire), ``cache`` and ``queue``, ``controller``, ``manager``.
Each may use what stands before it and nothing that stands after; import-linter holds that.
"""
