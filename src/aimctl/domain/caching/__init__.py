"""Caches: which template needs which volumes, and how these are filled."""
