"""Sensors: wait for work in Mirakl that another task, tool or user started."""
