"""The Table output that kubectl prints."""
