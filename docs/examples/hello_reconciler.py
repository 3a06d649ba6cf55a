"""A complete operator: each ConfigMap with the label ``hello=wanted`` gets one with a greeting."""

from aimctl.runtime import CONFIG_MAPS, Manager, Request, owner_reference, run


def add_hello(manager: Manager) -> None:
    """Add the reconciler to a manager."""

    async def reconcile(request: Request) -> None:
        source = manager.cache.get(CONFIG_MAPS, request.name, request.namespace)
        if source is None or source.meta.labels.get("hello") != "wanted":
            return
        data = {"greeting": f"Hello, {(source.view.data or {}).get('name', request.name)}!"}
        key = {"name": f"{request.name}-hello", "namespace": request.namespace}
        there = manager.cache.get(CONFIG_MAPS, **key)
        if there is None or there.view.data != data:
            metadata = {**key, "ownerReferences": [owner_reference(source)]}
            await manager.client.apply(CONFIG_MAPS, {"metadata": metadata, "data": data})

    manager.controller("hello", reconcile, for_=CONFIG_MAPS, owns=[CONFIG_MAPS])


if __name__ == "__main__":
    run(add_hello, name="hello")
