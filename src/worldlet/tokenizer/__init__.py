"""Frames to token grids and back."""

from worldlet.tokenizer.model import Tokenizer, TokenizerConfig

__all__ = ["Tokenizer", "TokenizerConfig"]
