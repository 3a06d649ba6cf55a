"""The decisions of the operator: pure functions without I/O, without a clock, and without waiting.

Each area has a package: ``templates``, ``models``, ``images``, ``caching`` and ``services``. They share ``jobs`` and
the modules of this package. ``make contracts`` checks which package may import which.
"""
