"""How fast the update is, beside the machine's own limit."""
