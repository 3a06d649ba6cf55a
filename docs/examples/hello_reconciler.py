"""A complete operator: each ConfigMap with the label ``hello=wanted`` gets one with a greeting."""

from aimctl.runtime import CONFIG_MAPS, Manager, Request, create_or_apply, owner_reference, run


def add_hello(manager: Manager) -> None:
    """Add the reconciler to a manager."""

    async def reconcile(request: Request) -> None:
        source = manager.cache.get(CONFIG_MAPS, request.name, request.namespace)
        if source is None or source.meta.labels.get("hello") != "wanted":
            return
        name = f"{request.name}-hello"
        data = {"greeting": f"Hello, {source.view.data.get('name', request.name)}!"}
        owners = [owner_reference(source)]
        metadata = {"name": name, "namespace": request.namespace, "ownerReferences": owners}
        wanted = {"metadata": metadata, "data": data}
        there = manager.cache.get(CONFIG_MAPS, name, request.namespace)
        await create_or_apply(manager.client, CONFIG_MAPS, wanted, current=there)

    manager.controller("hello", reconcile, for_=CONFIG_MAPS, owns=[CONFIG_MAPS])


if __name__ == "__main__":
    run(add_hello, name="hello")
