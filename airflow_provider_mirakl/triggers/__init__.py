"""Triggers: they wait and poll, and never submit."""
