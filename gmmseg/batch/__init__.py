"""Many images in several processes, with a record of what was done: ``gmmseg batch``."""
