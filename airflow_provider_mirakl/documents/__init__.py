"""Documents of shops: what to upload, what to fetch, how to unpack it safely, and what a sensor waits for.

Knows storage paths and a client that it is given; knows neither Airflow nor an HTTP library.
"""
