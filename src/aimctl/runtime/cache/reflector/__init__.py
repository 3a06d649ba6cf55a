"""The reflector: mirrors a collection of the server into a sink."""
