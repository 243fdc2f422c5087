"""Extracts: read a listing of Mirakl page by page into files, from where the previous run ended. Plain Python."""
