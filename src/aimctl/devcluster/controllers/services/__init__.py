"""The controller of the EndpointSlices of Services."""
