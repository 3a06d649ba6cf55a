"""Ways to install the operator: a kustomize tree and a Helm chart, generated from the same objects as the manifests.

``python -m aimctl.installation .`` writes ``config/`` and ``charts/``.
"""
