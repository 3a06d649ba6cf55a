"""A controller-runtime-style reconciler library for asyncio.

Layers from the lowest to the highest: ``clock``, ``kube`` (client), ``cache`` and ``queue``, ``controller``,
``manager``. A layer imports only lower ones; import-linter enforces this.
"""
