"""An Airflow connection becomes a client."""
