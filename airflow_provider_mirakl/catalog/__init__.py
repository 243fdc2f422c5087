"""The catalog engine: read a source, validate, plan chunks, keep progress, compare, account for every item.

Plain Python: no Airflow, no network. Import from the modules; this package imports nothing, so that an
operator module can refer to it cheaply.
"""
