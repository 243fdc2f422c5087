"""The connections that are used by default. Cheap to import."""

from __future__ import annotations

MIRAKL_DEFAULT = "mirakl_default"
CONNECT_DEFAULT = "mirakl_connect_default"
DJUST_DEFAULT = "djust_default"
