"""The REST half of the server: sessions, steps, worlds and health."""

from __future__ import annotations

from fastapi import APIRouter

import worldlet
from worldlet.server import messages as m
from worldlet.server.sessions import SessionTable


def rest_routes(table: SessionTable) -> APIRouter:
    """Return the routes over ``table``; errors are raised and become replies in `create_app`."""
    router = APIRouter()

    @router.post("/session/create")
    async def create(request: m.CreateRequest | None = None) -> m.CreateReply:
        request = request or m.CreateRequest()
        player = await table.create(request.world, request.prompt, request.seed, request.theme)
        frame = await player.look()
        return m.CreateReply(
            session_id=player.id,
            frame=frame.data,
            metrics=frame.metrics,
            world=player.world,
            start=player.start_info(),
        )

    @router.post("/session/step")
    async def step(request: m.StepRequest) -> m.StepReply:
        frame = await table.get(request.session_id).step(request.action)
        return m.StepReply(session_id=request.session_id, frame=frame.data, metrics=frame.metrics)

    @router.post("/session/{session_id}/close")
    @router.delete("/session/{session_id}")
    async def close(session_id: str) -> m.CloseReply:
        await table.close(session_id)
        return m.CloseReply(session_id=session_id, closed=True)

    @router.get("/worlds")
    async def worlds() -> m.WorldList:
        return m.WorldList(worlds=list(table.infos.values()))

    @router.get("/health")
    async def health() -> m.Health:
        return m.Health(
            version=worldlet.__version__,
            protocol=m.VERSION,
            worlds=list(table.worlds),
            sessions=len(table),
            session_limit=table.limits.sessions,
        )

    return router
