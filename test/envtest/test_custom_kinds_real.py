"""A real API server accepts and enforces generated CRDs as the embedded one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aimctl.runtime import Client, HttpTransport, LoopClock, from_kubeconfig
from support.custom_kind_cases import check_custom_kind
from support.custom_kinds import BOTH

if TYPE_CHECKING:
    from aimctl.runtime import CustomKind
    from support.controlplane import ControlPlane

pytestmark = pytest.mark.envtest


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.view.__name__)
async def test_a_real_api_server_accepts_and_enforces_a_generated_crd(
    kind: CustomKind[Any], plane: ControlPlane, namespace: str
) -> None:
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock) as transport:
        await check_custom_kind(Client(transport, clock=clock), kind, namespace)
