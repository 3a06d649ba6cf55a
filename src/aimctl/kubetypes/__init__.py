"""Frozen types of the Kubernetes API that all other packages share.

This is the lowest package: it imports nothing of ``aimctl``, only the standard library and msgspec, and does no I/O.
"""
