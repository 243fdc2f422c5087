"""Repairing single products: pairs, proof, reports, reconciliation. Plain Python."""
