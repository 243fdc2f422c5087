"""Apache Airflow provider for Mirakl: catalog synchronisation that is paced, resumable and verifiable."""

__version__ = "0.1.0"
