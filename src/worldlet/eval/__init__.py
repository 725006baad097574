"""Evaluation that can fail: a world is measured against the real game and beside trivial answers, and gets a card."""
