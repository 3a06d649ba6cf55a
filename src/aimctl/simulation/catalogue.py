"""The catalogue: which images exist, what their containers do, and how downloads end.

It is a YAML or JSON document with two lists:

* ``images``: the first entry whose globs ``image`` and ``args`` match applies. A glob is compared with the whole
  reference and with its last path segment, each with and without tag, so ``aim-llama*`` matches
  ``ghcr.io/org/aim-llama-8b:0.4``. An image without an entry does not exist.
* ``downloads``: see :class:`~aimctl.simulation.hub.DownloadEntry`.

Invariants:
    * A catalogue that loads is valid. Otherwise :class:`CatalogueError` lists every invalid field with value and
      remedy.
    * The output of a container depends only on its entry and its call, so the same pod has the same log after a
      restart.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import math
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from aimctl.devcluster.node.programs import Behaviour, RunResult
from aimctl.simulation.hub import Deployment, DownloadEntry, Strict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.node.programs import ContainerCall, Pull

__all__ = ["Catalogue", "CatalogueError", "Discover", "ImageEntry", "ModelEntry", "Text"]

Fail = Literal[
    "image-not-found",
    "pull-refused",
    "registry-unavailable",
    "create-error",
    "never-scheduled",
    "crash",
    "out-of-memory",
    "never-ends",
]
_LABEL_PREFIX = "com.amd.aim.model"
_NO_PRECISION = frozenset({"", "auto"})


class CatalogueError(ValueError):
    """The catalogue is invalid. The text has one line for each invalid field."""


@final
class ModelEntry(Strict):
    """One artifact in a discovery answer."""

    name: str
    source: str
    size_gb: float = 16.0


@final
class Text(Strict):
    """A text that is repeated ``times`` times, for output of several megabytes."""

    text: str
    times: Annotated[int, Field(ge=0, le=100_000_000)] = 1


@final
class Discover(Strict):
    """The discovery answer of an AIM image.

    ``AIM_METRIC``, ``AIM_PRECISION``, ``AIM_GPU_MODEL`` and ``AIM_GPU_COUNT`` in the environment override these values.
    """

    model: str = ""
    """Canonical model name; "" takes the name of the image."""
    models: tuple[ModelEntry, ...] = ()
    """Artifacts; empty is one artifact of ``model`` with ``size_gb``."""
    size_gb: Annotated[float, Field(gt=0)] = 16.0
    engine: str = "vllm"
    gpu: str = "MI300X"
    gpu_count: Annotated[int, Field(ge=1)] = 1
    precision: str = "fp16"
    metric: str = "latency"
    type: str = "optimized"
    gpus: tuple[str, ...] = ()
    """GPU models with a profile; empty is all. For others, the container fails with exit code 1 and a log line."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    env_vars: dict[str, str] = Field(default_factory=dict)

    def answer(self, call: ContainerCall) -> list[dict[str, Any]]:
        """The array that is written to standard output."""
        env = call.env
        model = self.model or _image_parts(call.image)[-1]
        precision = env.get("AIM_PRECISION", "")
        precision = self.precision if precision in _NO_PRECISION else precision
        gpu = env.get("AIM_GPU_MODEL") or self.gpu
        metric = env.get("AIM_METRIC") or self.metric
        count_text = env.get("AIM_GPU_COUNT", "")
        count = int(count_text) if count_text.isdecimal() and int(count_text) > 0 else self.gpu_count
        return [
            {
                "filename": f"{self.engine}-{gpu.lower()}-{precision}-tp{count}-{metric}.yaml",
                "profile": {
                    "model": model,
                    "quantized_model": "" if precision.endswith("16") else f"{model}-{precision.upper()}",
                    "metadata": {
                        "engine": self.engine,
                        "gpu": gpu,
                        "precision": precision,
                        "gpu_count": count,
                        "metric": metric,
                        "type": self.type,
                    },
                    "engine_args": {"tensor-parallel-size": count, **self.engine_args},
                    "env_vars": dict(self.env_vars),
                },
                "models": [entry.model_dump() for entry in self.artifacts(model)],
            }
        ]

    def artifacts(self, model: str = "") -> tuple[ModelEntry, ...]:
        """The artifacts of an answer; none if there is neither a model nor a list."""
        model = self.model or model
        whole = (ModelEntry(name=model, source=f"hf://{model}", size_gb=self.size_gb),) if model else ()
        return self.models or whole

    def missing_profile(self, call: ContainerCall) -> str:
        """The log line if the image has no profile for this call, or ""."""
        gpu = call.env.get("AIM_GPU_MODEL", "")
        if gpu and self.gpus and gpu not in self.gpus:
            return f"no profile for GPU {gpu}: this image has profiles for {', '.join(self.gpus)}"
        return ""


@final
class ImageEntry(Strict):
    """The images that match a glob, and what their containers do."""

    image: Annotated[str, Field(min_length=1)]
    args: str = ""
    """A glob for the arguments, joined by spaces; "" matches all."""
    discover: Discover | None = None
    stdout: tuple[Text | str, ...] = ()
    """The output, instead of a discovery answer."""
    log_before: tuple[str, ...] = ()
    """Log lines at the start."""
    log_after: tuple[str, ...] = ()
    """Log lines after the answer."""
    pull_seconds: Annotated[float, Field(ge=0)] = 1.0
    duration_seconds: Annotated[float, Field(ge=0)] = 2.0
    fail: Fail | None = None
    exit_code: Annotated[int, Field(ge=0, le=255)] = 0
    fail_first: Annotated[int, Field(ge=0)] = 0
    """The number of runs of a container that fail first (``restartPolicy: OnFailure``)."""
    create_error: str = "failed to create containerd task: simulated"
    """The message for ``fail: create-error``."""
    needs_pull_secret: bool = False
    needs_env_secret: tuple[str, ...] = ()
    """Environment variables that must come from a Secret. Otherwise the container fails with exit code 1."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels in the image's configuration, which the registry serves."""
    recommended_deployments: tuple[Deployment, ...] = ()
    """Added to the labels, with the model of ``discover``, unless ``labels`` has them."""
    multi_platform: bool = False
    """Whether the registry has an index with several platforms."""

    @field_validator("stdout", mode="before")
    @classmethod
    def _one_text_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value

    @model_validator(mode="after")
    def _one_answer(self) -> ImageEntry:
        if self.discover is not None and self.stdout:
            raise ValueError("has both discover and stdout: remove one")
        if self.fail == "crash" and self.exit_code == 0 and "exit_code" in self.model_fields_set:
            raise ValueError("fail: crash with exit_code 0: use 1 to 255, or remove fail")
        return self

    def fits(self, image: str, args: tuple[str, ...]) -> bool:
        """Whether this entry applies to a container with this image and these arguments."""
        return (not self.args or fnmatch.fnmatchcase(" ".join(args), self.args)) and self.names(image)

    def names(self, image: str) -> bool:
        """Whether the glob matches an image."""
        return any(fnmatch.fnmatchcase(part, self.image) for part in _image_parts(image))

    def image_labels(self) -> dict[str, str]:
        """All labels in the image's configuration."""
        if not self.recommended_deployments:
            return dict(self.labels)
        deployments = [item.label() for item in self.recommended_deployments]
        name = self.discover.model if self.discover is not None else ""
        named = {f"{_LABEL_PREFIX}.canonicalName": name} if name else {}
        return named | {f"{_LABEL_PREFIX}.recommendedDeployments": json.dumps(deployments)} | self.labels

    def behaviour(self) -> Behaviour:
        """The behaviour of a container of this entry."""
        pulls: dict[str, Pull] = {
            "image-not-found": "not-found",
            "pull-refused": "refused",
            "registry-unavailable": "unavailable",
        }
        return Behaviour(
            schedulable=self.fail != "never-scheduled",
            pull=pulls.get(self.fail or "", "ok"),
            needs_pull_secret=self.needs_pull_secret,
            pull_seconds=self.pull_seconds,
            create_error=self.create_error if self.fail == "create-error" else "",
            duration_seconds=math.inf if self.fail == "never-ends" else self.duration_seconds,
            run=self.run,
        )

    def run(self, call: ContainerCall) -> RunResult:
        """The log and the exit code of one run."""
        before = _lines(self.log_before)
        missing = [name for name in self.needs_env_secret if name not in call.secret_env]
        if missing:
            return RunResult(
                before + _lines([f"{name} is not set from a secret" for name in missing]), exit_code=1
            )
        if self.fail == "out-of-memory":
            return RunResult(before, exit_code=137, reason="OOMKilled")
        if self.fail == "crash":
            return RunResult(before, self._stdout() + _lines(self.log_after), exit_code=self.exit_code or 1)
        if call.restarts < self.fail_first:
            return RunResult(before, _lines([f"failing attempt {call.restarts + 1}"]), exit_code=1)
        if self.discover is not None:
            return self._discover(self.discover, call, before)
        return RunResult(before, self._stdout() + _lines(self.log_after), exit_code=self.exit_code)

    def _discover(self, discover: Discover, call: ContainerCall, before: bytes) -> RunResult:
        problem = discover.missing_profile(call)
        if problem:
            return RunResult(before + _lines([problem]), exit_code=1)
        if "dry-run" not in (*call.command, *call.args):
            # Without dry-run, an AIM image serves its model until it is stopped.
            return RunResult(before + _lines(["serving on port 8000"]), duration_seconds=math.inf)
        answer = json.dumps(discover.answer(call), indent=2).encode() + b"\n"
        return RunResult(before, answer + _lines(self.log_after), exit_code=self.exit_code)

    def _stdout(self) -> bytes:
        parts = (part if isinstance(part, str) else part.text * part.times for part in self.stdout)
        text = "".join(parts)
        return (text if not text or text.endswith("\n") else text + "\n").encode()


@final
class Catalogue(Strict):
    """The document. A :class:`~aimctl.devcluster.node.programs.Program` for the simulated node."""

    images: tuple[ImageEntry, ...] = ()
    downloads: tuple[DownloadEntry, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Catalogue:
        """Load a file.

        Raises:
            CatalogueError: it cannot be read, is not YAML, or has invalid fields.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise CatalogueError(f"catalogue {path} cannot be read: {reason}") from error
        return cls.parse(text, name=str(path))

    @classmethod
    def parse(cls, text: str, *, name: str = "catalogue") -> Catalogue:
        """Parse YAML or JSON. ``name`` is used in errors, which are those of :meth:`load`."""
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise CatalogueError(f"{name} is not YAML: {error}") from error
        if not isinstance(document, dict):
            raise CatalogueError(
                f"{name} is {type(document).__name__}, not a mapping: start it with `images:`"
            )
        return cls.of(document, name=name)

    @classmethod
    def of(cls, document: Mapping[str, Any], *, name: str = "catalogue") -> Catalogue:
        """Validate a decoded document. Errors are those of :meth:`load`."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            lines = [f"{name}: {_field(item['loc'])}: {_complaint(item)}" for item in error.errors()]
            raise CatalogueError("\n".join(lines)) from error

    @classmethod
    def default(cls) -> Catalogue:
        """The catalogue in the package, ``catalogue.yaml``, whose comments describe each image."""
        return _default()

    def entry(self, image: str, args: tuple[str, ...] = ()) -> ImageEntry | None:
        """The entry that applies to a container, or None."""
        return next((entry for entry in self.images if entry.fits(image, args)), None)

    def size_gb(self, source: str) -> float | None:
        """The size of a source in the discovery answers, or None."""
        for image in self.images:
            for model in () if image.discover is None else image.discover.artifacts():
                if model.source == source:
                    return model.size_gb
        return None

    def behaviour(self, call: ContainerCall) -> Behaviour | None:
        """The behaviour of a container; None if its image does not exist."""
        entry = self.entry(call.image, (*call.command, *call.args))
        return None if entry is None else entry.behaviour()

    def extended(
        self, *images: Mapping[str, Any] | ImageEntry, downloads: Iterable[Mapping[str, Any]] = ()
    ) -> Catalogue:
        """A catalogue with these entries before the existing ones. Errors are those of :meth:`load`."""
        own = [
            image.model_dump(exclude_unset=True) if isinstance(image, ImageEntry) else image
            for image in images
        ]
        front = Catalogue.of({"images": own, "downloads": list(downloads)}, name="extension")
        return Catalogue(images=(*front.images, *self.images), downloads=(*front.downloads, *self.downloads))


@functools.cache
def _default() -> Catalogue:
    source = resources.files("aimctl.simulation").joinpath("catalogue.yaml")
    return Catalogue.parse(source.read_text(encoding="utf-8"), name="catalogue.yaml")


@functools.lru_cache(maxsize=1024)
def _image_parts(image: str) -> tuple[str, ...]:
    """The strings that a glob is compared with: the reference and its last segment, with and without tag or digest."""
    plain = image.partition("@")[0]
    directory, slash, last = plain.rpartition("/")
    bare = last.partition(":")[0]
    return tuple(dict.fromkeys((image, plain, f"{directory}{slash}{bare}", last, bare)))


def _lines(lines: list[str] | tuple[str, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _field(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in {"Text", "str"}:  # a member of a union, which is not in the document
            text += f".{part}" if text else part
    return text or "document"


def _complaint(item: Any) -> str:
    value = repr(item["input"])
    shown = value if len(value) <= 60 else f"{value[:57]}..."
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return f"unknown field (value {shown}): remove it, or correct its spelling"
    if item["type"] == "missing":
        return "is missing: add it"
    return f"{shown} cannot be used: {message[:1].lower()}{message[1:]}"
