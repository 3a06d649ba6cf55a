"""``aimctl manifests``, and the commands of the documents as they are printed there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import aimctl, aimctl_all, clean_environment
from support.documents import load_all_yaml
from support.kubectl import Kubectl, kubectl_binary
from support.served import ServedCluster

ROOT = Path(__file__).parents[3]
PARTS = ("crd", "rbac", "manager", "network-policy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests")


@pytest.fixture(scope="module")
def outcomes(folder):
    (folder / "file").write_text("")
    flags = {part: ["manifests", part] for part in (*PARTS, "all")} | {
        "files": ["manifests", "-o", folder / "config"],
        "one part as files": ["manifests", "rbac", "--output", folder / "rbac-only"],
        **{part: ["manifests", part] for part in ("prometheus", "pod-monitor", "grafana")},
        "chart": ["manifests", "chart", "-o", folder / "chart"],
        "chart without a folder": ["manifests", "chart"],
        "chart with an image": ["manifests", "chart", "-o", folder / "chart", "--image", "registry.test/a:1"],
        "elsewhere": ["manifests", "--operator-namespace", "aim-ops", "--image", "registry.test/aimctl:7"],
        "no folder": ["manifests", "-o", folder / "file"],
    }
    return aimctl_all({name: (given, {}) for name, given in flags.items()})


def files_under(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_parts_are_in_the_order_in_which_they_can_be_applied(outcomes):
    assert outcomes["all"].out == "---\n".join(outcomes[part].out for part in PARTS)
    kinds = [item["kind"] for item in load_all_yaml(outcomes["all"].out)]
    assert kinds[:9] == ["CustomResourceDefinition"] * 9
    assert kinds[9] == "Namespace"
    assert kinds[-3:] == ["Deployment", "Service", "NetworkPolicy"]


def test_the_objects_for_the_prometheus_operator_are_printed_on_request_only(outcomes):
    kinds = [item["kind"] for item in load_all_yaml(outcomes["prometheus"].out)]
    assert kinds == ["PrometheusRule", "ServiceMonitor"]
    others = [
        item["kind"] for part in ("pod-monitor", "grafana") for item in load_all_yaml(outcomes[part].out)
    ]
    assert others == ["PodMonitor", "ConfigMap"]
    assert not {"PodMonitor", "ConfigMap"} & {item["kind"] for item in load_all_yaml(outcomes["all"].out)}
    assert "monitoring.coreos.com" not in outcomes["all"].out


def test_files_are_those_of_config(outcomes, folder):
    assert outcomes["files"].code == 0
    committed = files_under(ROOT / "config")
    expected = {name: text for name, text in committed.items() if not name.startswith("samples/")}
    assert files_under(folder / "config") == expected
    assert sorted(outcomes["files"].out.split()) == sorted(str(folder / "config" / name) for name in expected)


def test_one_part_as_files_is_that_part_only(outcomes, folder):
    assert outcomes["one part as files"].code == 0
    assert {name.split("/")[0] for name in files_under(folder / "rbac-only")} == {"rbac"}


def test_the_chart_is_that_of_the_repository(outcomes, folder):
    assert outcomes["chart"].code == 0
    assert files_under(folder / "chart") == files_under(ROOT / "charts/aimctl")


@pytest.mark.parametrize(
    ("case", "remedy"),
    [("chart without a folder", "add --output FOLDER"), ("chart with an image", "image.repository")],
)
def test_an_option_that_does_not_fit_a_chart_is_rejected(outcomes, case, remedy):
    assert outcomes[case].code == 2
    assert remedy in outcomes[case].complaint


def test_another_namespace_and_image_are_used_throughout(outcomes):
    text = outcomes["elsewhere"].out
    assert "kaiwo-system" not in text
    assert "image: registry.test/aimctl:7" in text
    assert text.count("namespace: aim-ops") > 5


def test_a_folder_that_cannot_be_made_is_named(outcomes):
    assert outcomes["no folder"].code == 1
    assert "--output" in outcomes["no folder"].complaint
    assert "name a folder" in outcomes["no folder"].complaint


@pytest.mark.proof
def test_a_reader_that_ends_is_no_error():
    """``aimctl manifests | head``."""
    with subprocess.Popen(
        [sys.executable, "-m", "aimctl.cli", "manifests"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(30)


# ---- the commands of the documents


@pytest.fixture
def shell(tmp_path):
    """Runs a line of shell on a cluster without the CRDs; ``aimctl`` and ``kubectl`` are on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "aimctl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aimctl.cli "$@"\n')
    (programs / "aimctl").chmod(0o755)
    (programs / "kubectl").symlink_to(kubectl_binary())
    with ServedCluster(tmp_path, crds=[], namespaces=[], controllers=False) as served:
        kubeconfig = served.kubeconfig()
        env = clean_environment(tmp_path, KUBECONFIG=str(kubeconfig))
        env["PATH"] = f"{programs}{os.pathsep}{env['PATH']}"

        def run(line):
            return subprocess.run(
                ["bash", "-o", "pipefail", "-ec", line],
                cwd=ROOT,
                env=env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        run.kubectl = Kubectl(kubeconfig, tmp_path / "cache")
        yield run


def lines_of(document, heading):
    """The commands of a section, block by block, without the build of the image and the manager, which does not end."""
    section = (ROOT / document).read_text().split(f"{heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    left_out = re.compile("docker |.*aimctl manager|.*rollout status")
    return [
        [line.replace(".venv/bin/", "") for line in block.splitlines() if not left_out.match(line)]
        for block in blocks
    ]


@pytest.mark.proof
def test_the_commands_for_a_cluster_work(shell):
    (with_image,) = lines_of("docs/installing.md", "## Plain manifests")
    (without,) = lines_of("docs/installing.md", "## Outside of the cluster")
    for line in [*with_image, *without]:
        for _ in ("the first time", "once more"):
            done = shell(line)
            assert (done.returncode, done.stderr) == (0, ""), line
    crds = shell.kubectl.json("get", "crds")["items"]
    assert len(crds) == 9
    deployment = shell.kubectl.json("get", "deployment", "aimctl-manager", "-n", "kaiwo-system")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/aimctl:0.1.0"
    for kind, name in (
        ("clusterrole", "aimctl-manager"),
        ("clusterrolebinding", "aimctl-manager"),
        ("role", "aimctl-leader-election"),
        ("serviceaccount", "aimctl-manager"),
        ("deployment", "aimctl-manager"),
    ):
        assert shell.kubectl.json("get", kind, name, "-n", "kaiwo-system")["metadata"]["name"] == name


@pytest.mark.proof
def test_a_shared_namespace_can_be_left_out_of_the_installation_and_of_the_removal(shell, tmp_path):
    shell.kubectl("create", "namespace", "kaiwo-system")
    (leave_out,) = lines_of("docs/installing.md", "## A shared namespace")
    *_, uninstall, _, _ = lines_of("docs/installing.md", "## Uninstall")
    for line in leave_out:
        done = shell(f"cd {tmp_path}; {line}")
        assert (done.returncode, done.stderr) == (0, ""), line
    assert shell.kubectl.json("get", "deployment", "aimctl-manager", "-n", "kaiwo-system")
    labels = shell.kubectl.json("get", "namespace", "kaiwo-system")["metadata"].get("labels", {})
    assert [name for name in labels if name.startswith("pod-security")] == []
    for line in uninstall:
        done = shell(f"cd {tmp_path}; {line}")
        assert (done.returncode, done.stderr) == (0, ""), line
    assert shell.kubectl.json("get", "clusterrole")["items"] == []
    assert shell.kubectl.json("get", "namespace", "kaiwo-system")


@pytest.mark.proof
def test_another_pod_security_standard_is_a_conflict_and_is_kept(shell):
    label = "pod-security.kubernetes.io/enforce"
    shell.kubectl("create", "namespace", "kaiwo-system")
    shell.kubectl("label", "namespace", "kaiwo-system", f"{label}=privileged")
    done = shell("aimctl manifests rbac | kubectl apply --server-side -f -")
    assert done.returncode != 0
    assert "conflict" in done.stderr
    assert label in done.stderr
    assert shell.kubectl.json("get", "namespace", "kaiwo-system")["metadata"]["labels"][label] == "privileged"


def test_the_remedy_for_missing_rights_works(shell):
    done = shell("aimctl manifests rbac | kubectl apply --server-side -f -")
    assert (done.returncode, done.stderr) == (0, "")
    assert "aimctl-manager" in done.stdout
    assert aimctl("manifests", "rbac").out.count("kind: ClusterRole\n") >= 3


def test_the_samples_are_applied_to_the_embedded_cluster_without_a_warning(tmp_path):
    (lines,) = lines_of("docs/quickstart.md", "## 5. See more")
    (line,) = [line.removeprefix("kubectl ") for line in lines if line.startswith("kubectl apply")]
    with ServedCluster(tmp_path, controllers=False) as served:
        kubectl = Kubectl(served.kubeconfig(), tmp_path / "cache")
        done = kubectl.run(*line.replace("config/samples", str(ROOT / "config/samples")).split())
        assert (done.returncode, done.stderr) == (0, "")
        assert kubectl("get", "aimst,aimclst", "-A", "--no-headers").count("\n") > 30
