"""Shell completion: the scripts for bash, zsh and fish, and the words that they complete from a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from aimctl.devcluster.apiserver.access import ADMIN, DenyRule, DenyRules, User
from aimctl.devcluster.faults import Delay, Match
from support.commands import aimctl, clean_environment
from support.documents import load_yaml
from support.served import ServedCluster

KIND = {"apiVersion": "aim.silogen.ai/v1alpha1"}
BASH = shutil.which("bash")


def doc(kind, name, namespace="", **spec):
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {**KIND, "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    program = folder / "bin" / "aimctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m aimctl.cli "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def served(folder):
    with ServedCluster(folder, controllers=False, namespaces=("kaiwo-system", "team")) as served:
        served.cluster.server.authenticator.tokens.update(admin=ADMIN, guest=User("guest"))
        served.cluster.server.authorizer = DenyRules([DenyRule(user="guest")])
        served.apply(
            [
                doc("AIMServiceTemplate", "slow", "team", modelName="m"),
                doc("AIMServiceTemplate", "swift", "team", modelName="m"),
                doc("AIMServiceTemplate", "other", "default", modelName="m"),
                doc("AIMClusterServiceTemplate", "base", modelName="m"),
                doc("AIMService", "chat", "team", model={"ref": "m"}),
            ]
        )
        yield served


def completed(words, kubeconfig, shell="bash"):
    """The words that the shell completes, the text on standard error, and the duration in seconds."""
    env = {"KUBECONFIG": str(kubeconfig), "_AIMCTL_COMPLETE": f"complete_{shell}"}
    line = ["aimctl", *words]
    if shell == "bash":
        env |= {"COMP_WORDS": "\n".join(line), "COMP_CWORD": str(len(line) - 1)}
    else:
        env |= {"_TYPER_COMPLETE_ARGS": " ".join(line)}
    env |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    started = time.monotonic()
    done = aimctl(env=env)
    return done.out, done.err, time.monotonic() - started


OFFERS = {
    "commands": (["ex"], ["explain"]),
    "kinds by short name": (["explain", "aimc"], ["aimclmdl", "aimclst", "aimcrcfg"]),
    "kinds by plural": (["explain", "aimservicet"], ["aimservicetemplates"]),
    "names of the kind before": (["explain", "aimst", "-n", "team", "s"], ["slow", "swift"]),
    "names in the kubeconfig's namespace": (["explain", "aimst", ""], ["other"]),
    "names after a slash": (["explain", "-n", "team", "aimst/sl"], ["aimst/slow"]),
    "cluster-scoped names": (["explain", "aimclst", ""], ["base"]),
    "whatever status can be asked about": (["status", "-n", "team", "c"], ["chat"]),
    "namespaces": (["status", "-n", "te"], ["team"]),
    "contexts": (["queue", "--context", ""], ["aimctl-dev"]),
    "formats": (["status", "-o", ""], ["table", "json", "yaml"]),
    "templates not given yet": (["rediscover", "-n", "team", "slow", ""], ["swift"]),
    "cluster templates": (["rediscover", "--cluster", ""], ["base"]),
}


@pytest.mark.parametrize("case", OFFERS)
def test_the_words_are_completed(served, case):
    words, expected = OFFERS[case]
    out, err, _ = completed(words, served.kubeconfig("admin", token="admin"))
    assert (out.split(), err) == (expected, "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_the_same_words(served, shell):
    out, err, _ = completed(
        ["explain", "aimst", "-n", "team", "s"], served.kubeconfig("admin", token="admin"), shell
    )
    assert err == ""
    assert "slow" in out
    assert "swift" in out
    assert "other" not in out


def test_without_rights_nothing_is_completed(served):
    out, err, _ = completed(["explain", "aimst", ""], served.kubeconfig("guest", token="guest"))
    assert (out.strip(), err) == ("", "")


def test_without_a_cluster_nothing_is_completed(served, tmp_path):
    config = load_yaml(served.kubeconfig("admin", token="admin").read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    (tmp_path / "dead").write_text(yaml.safe_dump(config))
    (tmp_path / "broken").write_text("contexts: [")
    for name in ("dead", "broken", "missing"):
        out, err, _ = completed(["explain", "aimst", ""], tmp_path / name)
        assert (out.strip(), err) == ("", ""), name
    out, err, _ = completed(["status", "--context", ""], tmp_path / "broken")
    assert (out.strip(), err) == ("", "")


def test_completion_has_a_time_limit(served):
    fault = served.call(lambda cluster: cluster.faults.add(Delay(60), Match(resource="aimservicetemplates")))
    try:
        out, err, seconds = completed(["explain", "aimst", ""], served.kubeconfig("admin", token="admin"))
    finally:
        served.call(lambda cluster: cluster.faults.remove(fault))
    assert (out.strip(), err) == ("", "")
    assert seconds < 30


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell):
    done = aimctl("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert f"_AIMCTL_COMPLETE=complete_{shell}" in done.out
    program = shutil.which(shell)
    if program is not None:
        checked = subprocess.run(
            [program, "-n"], input=done.out, text=True, capture_output=True, timeout=30, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.proof
@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_completes_with_the_script_it_sourced(served, folder):
    assert BASH is not None
    env = clean_environment(
        KUBECONFIG=str(served.kubeconfig("admin", token="admin")),
        PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
    )
    script = """
        source <(aimctl completion bash)
        COMP_WORDS=(aimctl explain -n team aimst s); COMP_CWORD=5
        _aimctl_completion aimctl aimst s
        echo "${COMPREPLY[*]}"
        complete -p aimctl
    """
    done = subprocess.run(
        [BASH, "--norc", "-c", script], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["slow swift", "complete -o default -F _aimctl_completion aimctl"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_installed_for_the_current_shell(folder, tmp_path, shell):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    env = clean_environment(tmp_path, PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", SHELL=program)
    done = subprocess.run(
        [program, "-c", "aimctl --install-completion; true"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=False,
    )
    assert f"{shell} completion installed" in done.stdout, done
    shown = subprocess.run(
        [program, "-c", "aimctl --show-completion; true"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=False,
    )
    assert f"complete_{shell}" in shown.stdout
