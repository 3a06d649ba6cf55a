"""What can be Ready, from the objects alone: a small model of the rules of the operator, which shares no code with it.

Contract: :class:`Rules` reads the bodies that the server has stored. It knows what the images and the sources of the
storm do, but nothing of the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storm.universe import BAD_IMAGE, BAD_SOURCE, DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Body", "Objects", "Rules"]

Body = dict[str, Any]
Objects = dict[str, dict[tuple[str, str], Body]]
"""The stored bodies by kind, namespace and name."""

_DERIVED = "aim.silogen.ai/derived-template"
_OPERATOR_NAMESPACE = "kaiwo-system"


class Rules:
    """The rules, applied to the present objects.

    Args:
        objects: the stored bodies, which may change later.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    # ---- references

    def model(self, name: str, namespace: str) -> Body | None:
        """The model that a name means in a namespace, "" for cluster templates."""
        own = self._get("AIMModel", namespace, name) if namespace else None
        return own or self._get("AIMClusterModel", "", name)

    def template(self, name: str, namespace: str) -> Body | None:
        """The template that a name means in a namespace."""
        return self._get("AIMServiceTemplate", namespace, name) or self._get(
            "AIMClusterServiceTemplate", "", name
        )

    def _has_config(self, name: str, namespace: str) -> bool:
        return (
            name == "default"
            or self._get("AIMRuntimeConfig", namespace or _OPERATOR_NAMESPACE, name) is not None
            or self._get("AIMClusterRuntimeConfig", "", name) is not None
        )

    # ---- nodes

    def offered(self) -> dict[str, int]:
        """The largest number of GPUs of each model on one usable node."""
        found: dict[str, int] = {}
        for node in self._objects["Node"].values():
            ready = any(
                item["type"] == "Ready" and item["status"] == "True"
                for item in node.get("status", {}).get("conditions", ())
            )
            gpu = DEVICES.get(node["metadata"].get("labels", {}).get("amd.com/gpu.device-id", ""))
            if gpu and ready and not node["spec"].get("unschedulable"):
                count = int(node["status"]["allocatable"].get("amd.com/gpu", 0))
                found[gpu] = max(found.get(gpu, 0), count)
        return found

    def has_gpu(self, template: Body) -> bool:
        """Whether a node offers the GPUs of a template."""
        selector = template["spec"].get("gpuSelector")
        return not selector or self.offered().get(selector["model"], 0) >= selector.get("count", 1)

    # ---- templates

    def template_can_be_ready(self, template: Body) -> bool:
        """Whether a template can be Ready."""
        spec, namespace = template["spec"], template["metadata"].get("namespace", "")
        model = self.model(spec["modelName"], namespace)
        if model is None or not self._has_config(spec.get("runtimeConfigName", "default"), namespace):
            return False
        if not self.has_gpu(template):
            return False
        sources = self.sources(template)
        if sources is None:
            return False
        return not (spec.get("caching") or {}).get("enabled") or BAD_SOURCE not in sources

    def sources(self, template: Body) -> list[str] | None:
        """The sources of a template; None if its discovery fails."""
        spec, namespace = template["spec"], template["metadata"].get("namespace", "")
        if spec.get("modelSources"):
            return [item["sourceURI"] for item in spec["modelSources"]]
        model = self.model(spec["modelName"], namespace)
        if model is None or model["spec"]["image"] == BAD_IMAGE:
            return None
        name = model["spec"]["image"].rpartition("/")[2].partition(":")[0].removeprefix("aim-")
        return [f"hf://org/{'one' if name == 'auto' else name}"]

    # ---- services

    def service_can_run(self, service: Body) -> bool | None:
        """Whether a service can be Running; None if that depends on what happened before."""
        spec, namespace = service["spec"], service["metadata"]["namespace"]
        model = self.model(spec["model"]["ref"], namespace)
        if model is None or model["spec"]["image"] == BAD_IMAGE:
            return False
        if spec.get("templateRef"):
            base = self.template(spec["templateRef"], namespace)
            if base is None or not self.runs(base, spec["model"]["ref"], model):
                # A derived template that is in use is kept without its base.
                used = self.in_use(service) if spec.get("overrides") else None
                return None if used is not None and self._is_derived(used) else False
            return self._serves(service, self._with_overrides(base, spec.get("overrides"), namespace))
        return self._selection_can_run(service)

    def _selection_can_run(self, service: Body) -> bool | None:
        current = self.in_use(service)
        if current is not None and not self._is_derived(current) and self.is_candidate(current, service):
            if not self.has_gpu(current) or self.sources(current) is None:
                return None  # it may move to the only other one that matches
            return self._serves(service, current)
        ready = [item for item in self.candidates(service) if self.template_can_be_ready(item)]
        if len(ready) > 1:
            return None
        return bool(ready) and self._serves(service, ready[0])

    def candidates(self, service: Body) -> Iterator[Body]:
        """The templates that automatic selection considers, without derived ones."""
        namespace = service["metadata"]["namespace"]
        own = {name for place, name in self._objects["AIMServiceTemplate"] if place == namespace}
        for kind in ("AIMServiceTemplate", "AIMClusterServiceTemplate"):
            for (place, name), item in self._objects[kind].items():
                if place not in ("", namespace) or (not place and name in own) or self._is_derived(item):
                    continue
                if self.is_candidate(item, service):
                    yield item

    def is_candidate(self, template: Body, service: Body) -> bool:
        """Whether a template is for the model of a service, and not being deleted."""
        ref = service["spec"]["model"]["ref"]
        model = self.model(ref, service["metadata"]["namespace"])
        return (
            model is not None
            and not template["metadata"].get("deletionTimestamp")
            and self.runs(template, ref, model)
        )

    def runs(self, template: Body, ref: str, model: Body) -> bool:
        """Whether a template runs a model."""
        place = template["metadata"].get("namespace", "")
        return template["spec"]["modelName"] == ref and self.model(ref, place) is model

    def in_use(self, service: Body) -> Body | None:
        """The template that the status of a service names, if it exists."""
        used = service.get("status", {}).get("resolvedTemplate")
        if not used:
            return None
        namespace = service["metadata"]["namespace"] if used["scope"] == "Namespace" else ""
        found = self._get(used["kind"], namespace, used["name"])
        return found if found is not None and found["metadata"]["uid"] == used.get("uid") else None

    def _serves(self, service: Body, template: Body) -> bool:
        sources = self.sources(template)
        cached = not service["spec"].get("cacheModel") or (sources is not None and BAD_SOURCE not in sources)
        return cached and self.template_can_be_ready(template)

    def _with_overrides(self, base: Body, overrides: Mapping[str, Any] | None, namespace: str) -> Body:
        """The template that is derived; the base itself without overrides."""
        if not overrides or all(base["spec"].get(name) == value for name, value in overrides.items()):
            return base
        return {
            **base,
            "metadata": {**base["metadata"], "namespace": namespace},
            "spec": {**base["spec"], **overrides},
        }

    @staticmethod
    def _is_derived(template: Body) -> bool:
        return template["metadata"].get("labels", {}).get(_DERIVED) == "true"

    def _get(self, kind: str, namespace: str, name: str) -> Body | None:
        return self._objects[kind].get((namespace, name))
