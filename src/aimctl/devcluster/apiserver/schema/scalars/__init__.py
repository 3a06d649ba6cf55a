"""Scalar values: formats, the regular expressions of patterns, and numbers as Go reads and writes them."""
