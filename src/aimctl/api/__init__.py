"""The API of aim.silogen.ai: typed kinds, and the manifests made from them."""
