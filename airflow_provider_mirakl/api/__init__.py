"""What Mirakl and DJUST offer, as data: one function per operation, each returning a :class:`~.call.Call`.

This package does no I/O and does not import Airflow.
"""
