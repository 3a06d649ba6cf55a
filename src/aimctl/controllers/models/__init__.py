"""Models and what is read of their images."""
