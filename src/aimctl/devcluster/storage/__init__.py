"""Objects with their history, and the file that keeps them."""
