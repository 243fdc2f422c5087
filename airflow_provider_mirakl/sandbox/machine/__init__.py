"""The machine of the sandbox: time, wire, limits, faults and books. It knows none of the systems."""
