"""Server-side apply and the other kinds of patches."""
