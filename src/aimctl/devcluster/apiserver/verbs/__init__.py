"""The verbs: reading, watching, writing, patching, deleting, and the subresources."""
