"""What happens next: token grids and actions in, the next token grid out."""

from worldlet.dynamics.base import Dynamics, DynamicsConfig, Features, State, Window, build_dynamics

__all__ = ["Dynamics", "DynamicsConfig", "Features", "State", "Window", "build_dynamics"]
