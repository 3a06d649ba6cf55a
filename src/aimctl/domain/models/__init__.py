"""Models: the metadata of their image, their recommended templates, and their state."""
