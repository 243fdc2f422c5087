"""Mirakl's asynchronous jobs: what they are, when they end, how to wait for them. No Airflow, no HTTP."""
