"""Mirakl's asynchronous jobs: their types, their states, and how to wait for them. No Airflow, no HTTP."""
