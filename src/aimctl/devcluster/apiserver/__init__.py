"""The API server: requests, kinds, schemas and what is built in."""
