"""Checks of offers, columns of imports and products before a call is made."""
