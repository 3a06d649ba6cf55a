"""The reconcilers of the AIM operator.

Each reconciler observes its object, lets :mod:`aimctl.domain` decide, and has the executor carry out the plan. Each
area has a package. Its ``wiring`` module declares the reconcilers and the sources that trigger them. ``indexes``
declares the indexes of the caches. The other modules are shared by all areas, or assemble the operator from them.
"""
