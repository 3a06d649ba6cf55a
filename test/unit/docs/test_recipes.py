"""The recipes of ``docs/recipes.md`` work: each is applied to a copy of the source, and a check runs on the result.

A recipe is a section of the document. Its diffs are the changes by hand, so they also count the files to touch.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Change:
    """The changes to one file: pairs of lines that exist, and lines that replace them."""

    path: str
    hunks: tuple[tuple[str, str], ...]

    def apply(self, folder: Path) -> None:
        """Change the file in this folder, or create it."""
        path = folder / self.path
        if not path.exists():
            ((old, new),) = self.hunks
            assert not old, f"{self.path} does not exist"
            path.write_text(new, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        for old, new in self.hunks:
            assert text.count(old) == 1, f"{self.path} must contain exactly once:\n{old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


def changes(section: str) -> list[Change]:
    """The diffs of a section."""
    found = []
    for indent, block in re.findall(r"^( *)```diff\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE):
        lines = [line.removeprefix(indent) for line in block.splitlines()]
        assert lines[0].startswith("+++ "), lines[0]
        hunks: list[tuple[list[str], list[str]]] = []
        for line in lines[1:]:
            if line == "@@":
                hunks.append(([], []))
                continue
            mark, content = line[:1], line[1:]
            assert mark in {" ", "+", "-", ""}, line
            if mark in {" ", "-", ""}:
                hunks[-1][0].append(content)
            if mark in {" ", "+", ""}:
                hunks[-1][1].append(content)
        joined = tuple(tuple("".join(f"{line}\n" for line in part) for part in hunk) for hunk in hunks)
        found.append(Change(lines[0].removeprefix("+++ "), joined))
    return found


SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
RECIPES = {section.partition("\n")[0]: changes(section) for section in SECTIONS}

EXISTING = (
    "test/unit/api",
    "test/unit/cli",
    "test/unit/controllers/test_permissions.py",
    "test/unit/controllers/test_public_operator.py",
    "test/unit/docs/test_architecture.py",
    "test/unit/docs/test_docs_reasons.py",
    "test/unit/domain/test_inference_service.py",
    "test/unit/domain/test_model_decision.py",
    "test/unit/domain/test_spec_fields.py",
)
"""Tests of the files that the recipes change, and of the tables that they extend."""

CHECKS = {
    "Add a template field": """
        from aimctl.runtime import structural_schema
        from aimctl.api.kinds import KINDS
        from aimctl.domain.services.derivation.derived_template import derived_spec
        from aimctl.domain.services.inference_service import inference_service
        from support.services import service, template
        from support.things import with_fields

        for kind in KINDS:
            if "ServiceTemplate" in kind.name:
                assert "priorityClassName" in structural_schema(kind.view)["properties"]["spec"]["properties"]
        plain = template()
        changed = with_fields(plain, spec={**plain.view.spec.to_json(), "priorityClassName": "high"})
        made = inference_service(service(), changed, None)
        assert made["spec"]["predictor"]["priorityClassName"] == "high"
        assert derived_spec(changed.view.spec, None)["priorityClassName"] == "high"
        """,
    "Add a condition": """
        import asyncio

        from aimctl.runtime import structural_schema
        from aimctl.api.kinds import KINDS, MODELS
        from aimctl.testing.virtualtime import virtual_time
        from support.operator import world

        @virtual_time
        async def check():
            async with world() as w:
                await w.model("by-tag", "team", image="a/b:1")
                await w.model("by-digest", "team", image="a/b@sha256:" + 64 * "0")
                w.start()
                await asyncio.sleep(10)
                for name, status in (("by-tag", "False"), ("by-digest", "True")):
                    found = (await w.client.get(MODELS, name, "team")).view.status.conditions
                    assert [one.status for one in found if one.type == "ImagePinned"] == [status]

        check()
        schemas = [structural_schema(kind.view) for kind in KINDS if kind.name.endswith("Model")]
        assert all("ImagePinned" in str(schema["properties"]["status"]) for schema in schemas)
        """,
    "Add a reconciler": """
        import asyncio

        from aimctl.api.kinds import MODELS
        from aimctl.controllers.manifests import manifests
        from aimctl.testing.virtualtime import virtual_time
        from support.operator import world
        from support.roles import Roles

        role = manifests()["rbac/manager-role.yaml"]
        assert "# label models with the registry of their image" in role

        @virtual_time
        async def check():
            async with world() as w:
                w.cluster.server.authorizer = roles = Roles([role, manifests()["rbac/leader-election-role.yaml"]])
                await w.model("m", "team", image="ghcr.io/silogen/aim-llama:1")
                w.start()
                await asyncio.sleep(10)
                found = await w.client.get(MODELS, "m", "team")
                assert found.meta.labels["aim.silogen.ai/registry"] == "ghcr.io"
                assert roles.refused == []

        check()
        """,
    "Add a kind": """
        from aimctl.api.kinds import OPERATOR_KINDS, QUOTAS
        from aimctl.controllers.manifests import manifests

        files = manifests()
        assert "crd/aim.silogen.ai_aimquotas.yaml" in files
        assert "aimquotas" in files["rbac/aim-view-role.yaml"]
        assert "aimquotas/status" in files["rbac/aim-view-role.yaml"]
        assert QUOTAS in OPERATOR_KINDS
        assert QUOTAS.decode(b'{"spec": {"services": 3}}').spec.services == 3
        """,
    "Add a CLI command": """
        from pathlib import Path

        from support.commands import aimctl
        from support.served import ServedCluster

        model = {
            "apiVersion": "aim.silogen.ai/v1alpha1",
            "kind": "AIMModel",
            "metadata": {"name": "llama", "namespace": "default"},
            "spec": {"image": "aim-llama:1"},
        }
        with ServedCluster(Path.cwd(), controllers=False) as served:
            served.apply([model])
            done = aimctl("images", "--kubeconfig", served.kubeconfig())
        assert (done.code, done.err) == (0, ""), done
        assert [line.split() for line in done.out.splitlines()] == [["MODEL", "IMAGE"], ["llama", "aim-llama:1"]]
        assert "Show the container image of each model" in aimctl("--help").out
        """,
    "Add a step to `explain`": """
        from aimctl.api.kinds import CLUSTER_MODELS, MODELS, SERVICES
        from aimctl.cli.questions.references import RULES
        from aimctl.cli.questions.remedies import _COMMANDS
        from support.things import make

        service = make("chat", "team", resource=SERVICES, spec={"model": {"image": "a/b:1"}})
        models = [make(image[0], "team", resource=MODELS, spec={"image": image}) for image in ("a/b:1", "c/d:1")]
        namespaced, cluster = RULES["AIMService", "Ready", "ModelAmbiguous"](service, "kaiwo-system")
        assert [question.resource for question in (*namespaced.questions, *cluster.questions)] == [
            MODELS,
            CLUSTER_MODELS,
        ]
        assert [model.meta.name for model in namespaced.keep(models)] == ["a"]
        assert "ModelAmbiguous" in _COMMANDS
        """,
}


def test_every_recipe_has_a_check():
    assert CHECKS.keys() == RECIPES.keys()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_changes_at_most_two_files_by_hand(recipe):
    paths = [change.path for change in RECIPES[recipe]]
    assert len(set(paths)) == len(paths)
    assert 1 <= len(paths) <= 2
    assert all(path.startswith("src/aimctl/") for path in paths)


def environment(recipe, folder):
    """A copy of the source with the recipe applied, and the environment in which Python imports it."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for change in RECIPES[recipe]:
        change.apply(folder)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(ROOT / "test")])}


@pytest.mark.proof
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works(recipe, tmp_path):
    variables = environment(recipe, tmp_path)
    check = f"import aimctl; assert aimctl.__file__.startswith({str(tmp_path)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", check + textwrap.dedent(CHECKS[recipe])],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.proof
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_names_the_tests_that_fail_until_they_are_extended(recipe, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-m", "not proof", *EXISTING],
        env=environment(recipe, tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    section = next(text for text in SECTIONS if text.startswith(f"{recipe}\n"))
    failed = set(re.findall(r"^(?:FAILED|ERROR) ([\w/.]+)", done.stdout, re.MULTILINE))
    assert failed <= set(re.findall(r"test/[\w/]+\.py", section)), done.stdout


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_code_of_a_recipe_follows_the_rules_of_the_linter(recipe, tmp_path):
    for change in RECIPES[recipe]:
        source = ROOT / change.path
        if source.exists():
            target = tmp_path / change.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        else:
            (tmp_path / change.path).parent.mkdir(parents=True, exist_ok=True)
        change.apply(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ruff = Path(sys.executable).with_name("ruff")
    for arguments in (
        ["check", "--ignore=INP001", "--config", 'lint.isort.known-first-party = ["aimctl"]'],
        ["format", "--check"],
    ):
        done = subprocess.run(
            [ruff, *arguments, "--no-cache", "src"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
