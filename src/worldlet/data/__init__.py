"""Data: players, the recorder, shards on disk, and the in-memory tables that training reads.

Read in this order: ``policies`` (who plays), ``record`` (one episode, then a whole folder of them), ``codec`` (an
episode as bytes), ``shards`` (tar files and their manifest), ``coverage`` (what was seen), ``clips`` (batches).
"""
