"""Extracts: a listing of Mirakl, read page by page into files, from where the previous run ended. Plain Python."""
