"""The tutorial of kopf: an EphemeralVolumeClaim gets a claim of its size, with its labels."""

from aimctl.runtime import PVCS, Manager, Request, Resource, owner_reference, run

EVCS = Resource.untyped("kopf.dev", "v1", "EphemeralVolumeClaim", "ephemeralvolumeclaims")


def add_claims(manager: Manager) -> None:
    """Add the reconciler to a manager."""

    async def reconcile(request: Request) -> None:
        evc = manager.cache.get(EVCS, request.name, request.namespace)
        if evc is None or evc.meta.deleting:
            return  # the garbage collector deletes the claim
        key = {"name": request.name, "namespace": request.namespace}
        labels, owners = dict(evc.meta.labels), [owner_reference(evc)]
        requests = {"storage": evc.view["spec"]["size"]}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": requests}}
        claim = {"metadata": {**key, "labels": labels, "ownerReferences": owners}, "spec": spec}
        await manager.client.apply(PVCS, claim)
        status = {"metadata": key, "status": {"pvcName": request.name}}
        await manager.client.apply(EVCS, status, subresource="status")

    manager.controller("claims", reconcile, for_=EVCS, owns=[PVCS])


if __name__ == "__main__":
    run(add_claims, name="ephemeral-volume-claims")
