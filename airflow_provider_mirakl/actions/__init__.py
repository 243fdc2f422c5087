"""Actions on orders and returns of Mirakl Connect: rows, the resulting calls, and what was sent. Plain Python."""
