"""Files for every room: paths, atomic writes, readers."""
