"""Models over several devices, on torch's own engines."""
