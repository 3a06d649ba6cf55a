"""Templates: their state, their discovery, and whose turn it is."""
