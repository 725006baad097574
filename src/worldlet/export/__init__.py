"""From a trained run to a world folder that plays without torch."""

from worldlet.export.folder import ExportConfig, export
from worldlet.export.parity import ParityError

__all__ = ["ExportConfig", "ParityError", "export"]
