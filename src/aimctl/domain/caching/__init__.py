"""Caching decisions: which sources a template needs on volumes, and how they are downloaded."""
