"""Facts about KServe: which names it accepts, and what its status says."""
