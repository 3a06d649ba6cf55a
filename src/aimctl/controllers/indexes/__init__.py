"""How objects are found by what they refer to, an index at a time: nothing is ever searched."""
