"""Carrying out plans: the executor and what it consists of."""
