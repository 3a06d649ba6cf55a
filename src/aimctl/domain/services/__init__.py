"""Services: which model and template they get, what is derived for them, what runs."""
