"""Pure functions for what reconcilers write: owner references, finalizers, conditions, times and request bodies.

:mod:`aimctl.kubetypes.helpers.backoff` has the formula of exponential back-off, which all layers use.

Contract: every function returns a new value and changes none of its arguments. Functions that change a body accept
whatever :func:`aimctl.kubetypes.helpers.bodies.to_body` accepts, and return a dict that every write verb of the client
accepts.
"""
