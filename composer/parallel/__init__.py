"""Several devices: what is split where, how much each holds, and a built model spread over them."""
