"""The alerts and the dashboard of the operator, with a real Prometheus."""
