"""What clients are told about a world and about the beginning of a session."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from worldlet.manifest import STARTS_NAME, StartList
from worldlet.server.messages import StartInfo, StartOption, WorldInfo

if TYPE_CHECKING:
    from worldlet.engine import Engine, Session


def world_info(name: str, engine: Engine) -> WorldInfo:
    """Describe a world under the name by which this server knows it."""
    manifest = engine.manifest
    listed = StartList.from_json((engine.folder / STARTS_NAME).read_bytes()).starts
    starts = [StartOption(caption=start.caption, theme=start.theme, level_seed=start.level_seed) for start in listed]
    return WorldInfo(
        name=name,
        title=manifest.title,
        env_id=manifest.env_id,
        fps=manifest.fps,
        frame_size=list(manifest.frame_size),
        action_names=list(manifest.action_names),
        key_bindings={action: [list(keys) for keys in ways] for action, ways in manifest.key_bindings.items()},
        themes=list(engine.themes),
        starts=starts,
        parameters={"tokenizer": manifest.parameters.tokenizer, "dynamics": manifest.parameters.dynamics},
    )


def start_info(session: Session) -> StartInfo:
    """Say how the session began."""
    return StartInfo(**asdict(session.start), seed=session.seed)
