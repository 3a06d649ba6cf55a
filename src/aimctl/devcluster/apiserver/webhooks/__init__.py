"""Admission webhooks of the embedded API server."""
