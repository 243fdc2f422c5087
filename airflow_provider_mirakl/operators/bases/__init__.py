"""The base classes of the operators."""
