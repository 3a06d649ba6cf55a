"""What the operator decides, as pure functions: no I/O, no clock, no waiting.

A room for each area: ``templates``, ``models`` and the ``images`` these are read from, ``caching``, ``services``.
What all of them use lies here. Services know caching and models, these know templates and images, and nobody knows
those above: ``make contracts`` holds it.
"""
