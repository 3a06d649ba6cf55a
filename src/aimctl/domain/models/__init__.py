"""Models: what their image says, the templates they make, their state."""
