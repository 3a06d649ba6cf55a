"""Template caches, model caches, and what a template says about them."""
