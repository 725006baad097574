"""From a trained run to a world folder that plays without torch."""

from worldlet.export.folder import ExportConfig, ParityError, export

__all__ = ["ExportConfig", "ParityError", "export"]
