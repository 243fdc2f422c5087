"""Files: paths, atomic writes, readers."""
