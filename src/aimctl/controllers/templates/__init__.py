"""Templates and their discovery."""
