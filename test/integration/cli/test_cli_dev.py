"""``aimctl dev``: an embedded cluster with the operator in it."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from support.commands import RunningCommand, aimctl, aimctl_all
from support.documents import load_yaml
from support.waiting import eventually

SLOW_TEMPLATES = "/apis/aim.silogen.ai/v1alpha1/namespaces/default/aimservicetemplates"
SERVICES = "/apis/aim.silogen.ai/v1alpha1/namespaces/default/aimservices"
CLUSTER_MODELS = "/apis/aim.silogen.ai/v1alpha1/aimclustermodels"
KIND = {"apiVersion": "aim.silogen.ai/v1alpha1"}
CATALOGUE = """
images:
- image: "mine*"
  pull_seconds: 0
  duration_seconds: 0
  discover: {model: example/mine, size_gb: 2.0}
"""


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def started(command):
    """The address and the kubeconfig that it printed when it had started."""
    command.wait_for("Ctrl-C stops it")
    url = re.search(r"^API server +(\S+)$", command.text, re.MULTILINE)
    kubeconfig = re.search(r"^kubeconfig +(\S+)$", command.text, re.MULTILINE)
    assert url is not None, command.text
    assert kubeconfig is not None, command.text
    return url[1], kubeconfig[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dev")


@pytest.fixture(scope="module")
def twice(folder):
    """A cluster with data and the operator, stopped with Ctrl-C, and started again without the operator."""
    (folder / "catalogue.yaml").write_text(CATALOGUE)
    flags = ("dev", "--data", folder / "data", "--kubeconfig-out", folder / "kubeconfig")
    seen = SimpleNamespace()
    # Without a display no browser is opened.
    no_display = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    with RunningCommand(*flags, "--open", "--catalogue", folder / "catalogue.yaml", **no_display) as command:
        seen.url, seen.kubeconfig = started(command)
        seen.mode = stat.S_IMODE((folder / "kubeconfig").stat().st_mode)
        page = re.search(r"^status page +(\S+)$", command.text, re.MULTILINE)
        assert page is not None, command.text
        seen.page = call("GET", f"{page[1]}/status?format=json")
        seen.written = load_yaml((folder / "kubeconfig").read_text())
        call("POST", seen.url + CLUSTER_MODELS, model("mine", "mine:1"))
        call("POST", seen.url + SLOW_TEMPLATES, template("kept"))
        call("POST", seen.url + SERVICES, service("served"))
        seen.ready = eventually(
            lambda: (
                (found := call("GET", f"{seen.url}{SLOW_TEMPLATES}/kept")).get("status", {}).get("status")
                == "Ready"
                and found
            ),
            30,
            "the template is Ready",
        )
        seen.running = eventually(
            lambda: call("GET", f"{seen.url}{SERVICES}/served").get("status", {}).get("status") == "Running",
            30,
            "the service is Running",
        )
        seen.rival = aimctl("dev", "--no-manager", "--data", folder / "data")
        seen.code = command.stop(signal.SIGINT)
        seen.first = command.text
    with RunningCommand(*flags, "--no-manager", "--port", seen.url.rpartition(":")[2]) as command:
        seen.url_again, _ = started(command)
        seen.kept = call("GET", f"{seen.url_again}{SLOW_TEMPLATES}/kept")
        call("POST", seen.url_again + SLOW_TEMPLATES, template("alone"))
        call("POST", seen.url_again + CLUSTER_MODELS, model("more", "mine:2"))
        seen.alone = call("GET", f"{seen.url_again}{SLOW_TEMPLATES}/alone")
        seen.code_again = command.stop(signal.SIGTERM)
        seen.second = command.text
    return seen


def model(name, image):
    return {**KIND, "kind": "AIMClusterModel", "metadata": {"name": name}, "spec": {"image": image}}


def service(name):
    spec = {"model": {"ref": "mine"}, "templateRef": "kept"}
    return {**KIND, "kind": "AIMService", "metadata": {"name": name}, "spec": spec}


def template(name):
    spec = {"modelName": "mine", "metric": "latency", "precision": "fp16"}
    return {**KIND, "kind": "AIMServiceTemplate", "metadata": {"name": name}, "spec": spec}


def test_it_prints_the_address_the_kubeconfig_and_the_next_commands(twice, folder):
    assert twice.url.startswith("http://127.0.0.1:")
    assert f"export KUBECONFIG={folder / 'kubeconfig'}" in twice.first
    assert "kubectl apply --server-side -f config/samples" in twice.first
    assert "operator     running" in twice.first
    assert re.search(r"^registry     http://127\.0\.0\.1:\d+ ", twice.first, re.MULTILINE)
    assert "KServe       simulated" in twice.first


def test_with_open_it_prints_the_address_of_the_status_page(twice):
    assert twice.page["standing"] == ""
    assert "Services" in [section["title"] for section in twice.page["sections"]]
    assert "status page" not in twice.second


def test_the_kubeconfig_is_for_its_owner_only_and_names_the_address(twice):
    assert twice.mode == 0o600
    (entry,) = twice.written["clusters"]
    assert entry["cluster"]["server"] == twice.url
    assert twice.written["current-context"] == twice.written["contexts"][0]["name"]


def test_the_operator_runs_in_it_with_the_given_catalogue(twice):
    (source,) = twice.ready["status"]["modelSources"]
    assert source == {
        "name": "example/mine",
        "source": "hf://example/mine",
        "sizeBytes": 2 * 1024**3,
    }


def test_a_service_becomes_running_on_the_simulated_kserve(twice):
    assert twice.running


def test_without_kserve_it_says_so():
    with RunningCommand("dev", "--no-kserve", "--no-manager") as command:
        url, _ = started(command)
        assert "KServe       not installed (--no-kserve)" in command.text
        with pytest.raises(urllib.error.HTTPError, match="404"):
            call("GET", url + "/apis/serving.kserve.io/v1beta1/inferenceservices")


def test_ctrl_c_and_sigterm_end_it_with_0_and_without_output(twice):
    assert (twice.code, twice.code_again) == (0, 0)
    for text in (twice.first, twice.second):
        assert "Traceback" not in text
        assert "error" not in text.lower()


def test_its_data_is_unchanged_after_a_restart(twice):
    assert twice.url_again == twice.url
    assert twice.kept == twice.ready


def test_without_the_manager_templates_are_not_reconciled(twice):
    assert "operator     not started (--no-manager)" in twice.second
    assert "status" not in twice.alone


def test_without_data_it_says_that_objects_are_lost(folder):
    with RunningCommand("dev", "--no-manager", TMPDIR=str(folder)) as command:
        _, kubeconfig = started(command)
        assert "in memory" in command.text
        assert kubeconfig.startswith(str(folder))
        assert command.stop(signal.SIGINT) == 0
    assert list(folder.glob("aimctl-dev-*")) == [], "the temporary kubeconfig goes with it"


# ---- invalid settings


WRONG = {
    "port": ["--port", "in use", "choose another"],
    "catalogue fields": [
        "--catalogue: ",
        "images[0].durations",
        "unknown field",
        "images[1].image",
        "is missing",
    ],
    "data": ["--data", "was not written by aimctl", "name another file"],
    "kubeconfig": ["--kubeconfig-out", "No such file", "name a file that you may write"],
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    files = {
        "fields": "images: [{image: a, durations: 3}, {discover: {}}]",
        "junk": "this is not a database\n" * 100,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        flags = {
            "port": ["--port", port],
            "catalogue fields": ["--catalogue", folder / "fields"],
            "data": ["--data", folder / "junk"],
            "kubeconfig": ["--kubeconfig-out", folder / "no" / "such" / "kubeconfig"],
        }
        return aimctl_all({name: (("dev", *given), {}) for name, given in flags.items()})


@pytest.mark.parametrize("name", WRONG)
def test_an_invalid_setting_is_one_line_that_names_the_flag(outcomes, name):
    done = outcomes[name]
    assert done.code == 1
    for words in WRONG[name]:
        assert words in done.complaint


def test_a_data_file_in_use_is_reported(twice):
    assert twice.rival.code == 1
    assert "--data: " in twice.rival.complaint
    assert "is another aimctl using it" in twice.rival.complaint
