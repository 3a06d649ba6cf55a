"""Images in registries: how they are named, asked for and understood."""
