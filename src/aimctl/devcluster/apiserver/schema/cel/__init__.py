"""The types of CEL expressions."""
