"""What Mirakl and DJUST offer, as data: one function per operation, each returning a :class:`~.call.Call`.

Nothing here does I/O and nothing here knows Airflow.
"""
