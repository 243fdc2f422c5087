"""Actions on orders and returns of Mirakl Connect: rows, the calls they become, and what was sent. Plain Python."""
