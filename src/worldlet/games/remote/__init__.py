"""Games that need a Python environment of their own, played in a child process."""
