"""The reconcilers of the AIM operator: each observes, asks ``aimctl.domain`` to decide, and applies.

A room for each area, with its reconcilers and, in ``wiring``, what wakes them; ``indexes`` says how things are found.
What all areas use lies here, and so does the operator that puts them together.
"""
