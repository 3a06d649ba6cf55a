"""Services, and the templates that are derived for them."""
