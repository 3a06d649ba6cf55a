"""Deterministic simulation of an operator: processes, cluster and faults in one event loop, in virtual time.

:mod:`aimctl.testing` exports the public names.

    run          runs a scenario with a seed, and shortens a run that fails
    branching    runs of several seeds that share their opening
    scenario     what is simulated, to be subclassed
    plan         the steps of a run, a function of its seed
    world        a cluster, the processes, and the checks of every write
    process      a manager that can be killed, blocked and started again
    network      the connection of a process, with its faults
    faults       the faults
    trace        what happened
    shrinking    delta debugging
    command      the program for many seeds
"""
