"""The API group aim.silogen.ai: typed kinds, and the manifests that are generated from them."""
