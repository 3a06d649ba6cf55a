"""What the API server knows of kinds and of the metadata of objects."""
