"""The reconcilers of caching: warming, template caches, model caches, download progress."""
