"""The pure core: values, tables and functions; no I/O, no clock, no ``async`` (kept by a test)."""
