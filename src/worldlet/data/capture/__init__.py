"""Capture of a running game: what one window or web page shows, and the keys held meanwhile, into the usual shards.

Read in this order: ``source`` (what a running game gives), ``keys`` (keys become actions), ``timeline`` (which keys
belong to which frame), ``picture`` (a screen becomes a frame), ``web`` and ``x11`` (the two sources), ``demo`` (who
presses keys when nobody does), ``folder`` (shards and splits), ``settings``, ``run`` (`worldlet capture`).
"""
