"""The endpoints, a file for each resource; `ROUTERS` lists them in the order of the documentation."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from api.routes import (
    analytics,
    audit,
    diffs,
    keys,
    knowledge,
    live,
    members,
    numbers,
    organizations,
    sessions,
    templates,
    tests,
    variables,
    versions,
    voice,
    webhooks,
    workflows,
)

__all__ = ["ROUTERS"]

ROUTERS: Final[tuple[APIRouter, ...]] = (
    workflows.router,
    versions.router,
    diffs.router,
    templates.router,
    tests.router,
    voice.router,
    sessions.router,
    live.router,
    analytics.router,
    knowledge.router,
    webhooks.router,
    variables.router,
    numbers.router,
    organizations.router,
    members.router,
    keys.router,
    audit.router,
)
