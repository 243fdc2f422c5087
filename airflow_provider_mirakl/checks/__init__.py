"""What an instance of Mirakl takes, checked before a call is made: offers, the columns of imports, products."""
