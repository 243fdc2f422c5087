"""Operators: arguments in, one call to a room below, an outcome out."""
