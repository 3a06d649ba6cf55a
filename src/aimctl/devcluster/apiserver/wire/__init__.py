"""The HTTP side of the API server: requests, Statuses, encodings and rendering."""
