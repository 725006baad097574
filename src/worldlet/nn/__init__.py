"""Pieces that the networks are made of."""
