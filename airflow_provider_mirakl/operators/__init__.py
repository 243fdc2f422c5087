"""Operators: read arguments, call a package below, return an outcome."""
