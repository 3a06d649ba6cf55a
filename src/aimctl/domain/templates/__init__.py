"""The state of templates, their discovery, and the order in which they get discovery slots."""
