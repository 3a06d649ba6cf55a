"""Conformance of the embedded API server: requests as data, and the responses of a real kube-apiserver to them.

``groups/*.yaml`` has the requests, ``recordings/*.json`` the normalized responses of the real server, and
``known.yaml`` the differences that are accepted, with their reasons. ``python -m conformance`` compares.
"""
