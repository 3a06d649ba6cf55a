"""Derived templates: what a service with overrides gets when no existing template fits."""
