"""The reconcilers of templates and of their discovery."""
