"""Images in registries: references, credentials, manifests and labels."""
