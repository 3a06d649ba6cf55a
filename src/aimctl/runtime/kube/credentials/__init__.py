"""Where the API server is, and with which credentials: in a cluster, or from a kubeconfig."""
