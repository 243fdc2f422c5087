"""What an instance of Mirakl takes, checked before a call is spent: offers, the columns of imports, products."""
