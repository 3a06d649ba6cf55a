"""aimctl: a reconciler library for asyncio Python, and the AIM operator built on it."""

__version__ = "0.1.0"
