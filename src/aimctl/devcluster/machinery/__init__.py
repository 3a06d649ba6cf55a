"""Informers, workers and Events, which controllers and nodes share."""
