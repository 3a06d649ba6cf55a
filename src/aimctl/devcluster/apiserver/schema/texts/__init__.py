"""What texts are valid: formats, and the regular expressions of patterns."""
