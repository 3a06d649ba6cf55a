"""The object store: records, history, and the data file."""
