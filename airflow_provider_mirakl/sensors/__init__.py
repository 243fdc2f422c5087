"""Sensors: wait for something in Mirakl that somebody else began."""
