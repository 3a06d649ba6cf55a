"""HTTP endpoints of a manager: server, health checks and debug pages."""

from __future__ import annotations
