"""The validation of built-in kinds, as tables of rules for their structures."""
