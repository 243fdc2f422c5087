"""Settings of every unit test."""

from __future__ import annotations

import hypothesis

# A loaded machine is no failure of the code.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")
