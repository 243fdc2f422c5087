"""Shops: their documents, information and settings. Plain Python."""
