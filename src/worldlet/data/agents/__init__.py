"""Agents that learn a game before they record it: what they see, how PPO trains them, how they play afterwards."""
