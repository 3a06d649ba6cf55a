"""Questions about a cluster: what to read, how to read it, and pure evaluation of the answers."""
