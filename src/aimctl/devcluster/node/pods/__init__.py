"""The life of a pod on a simulated machine."""
