"""Flags, environment variables, help and version of the ``aimctl`` command."""

from __future__ import annotations

import re

import pytest

from aimctl import __version__
from support.commands import aimctl, aimctl_all

MANAGER_FLAGS = {
    "--kubeconfig": "KUBECONFIG",
    "--leader-elect": "AIM_LEADER_ELECT",
    "--leader-election-namespace": "AIM_LEADER_ELECTION_NAMESPACE",
    "--metrics-bind-address": "AIM_METRICS_BIND_ADDRESS",
    "--metrics-secure": "AIM_METRICS_SECURE",
    "--metrics-cert-dir": "AIM_METRICS_CERT_DIR",
    "--metrics-audience": "AIM_METRICS_AUDIENCE",
    "--health-probe-bind-address": "AIM_HEALTH_PROBE_BIND_ADDRESS",
    "--discovery-limit": "AIM_DISCOVERY_LIMIT",
    "--operator-namespace": "AIM_OPERATOR_NAMESPACE",
    "--watch-namespace": "AIM_WATCH_NAMESPACE",
    "--max-concurrent-reconciles": "AIM_MAX_CONCURRENT_RECONCILES",
    "--registry-mirror": "AIM_REGISTRY_MIRROR",
    "--allowed-registry": "AIM_ALLOWED_REGISTRY",
    "--with": "AIM_WITH",
    "--skip": "AIM_SKIP",
    "--log-level": "AIM_OPERATOR_LOG_LEVEL",
    "--log-format": "AIM_OPERATOR_LOG_FORMAT",
}
DEV_FLAGS = ("--port", "--kubeconfig-out", "--no-manager", "--catalogue", "--data", "--discovery-limit")

WRONG = {
    "an unknown flag": (["manager", "--bogus"], {}, ["--bogus"]),
    "an unknown command": (["mangle"], {}, ["'mangle'"]),
    "too many words": (["manager", "extra"], {}, ["extra", "; see: aimctl manager -h"]),
    "no argument": (["explain"], {}, ["Missing argument KIND; see: aimctl explain -h"]),
    "a similar command": (["stauts"], {}, ["Did you mean 'status'? see: aimctl -h"]),
    "a flag without its value": (["manager", "--log-level"], {}, ["--log-level", "requires"]),
    "no number": (["manager", "--discovery-limit", "ten"], {}, ["--discovery-limit", "'ten'", "integer"]),
    "a limit of none": (["manager", "--discovery-limit", "0"], {}, ["--discovery-limit", "'0'", "1"]),
    "too many workers": (
        ["manager", "--max-concurrent-reconciles", "101"],
        {},
        ["--max-concurrent-reconciles", "'101'", "100"],
    ),
    "a log level": (["manager", "--log-level", "loud"], {}, ["--log-level", "'loud'", "'warning'"]),
    "a log format": (["manager", "--log-format", "xml"], {}, ["--log-format", "'xml'", "'console'"]),
    "an address without a port": (
        ["manager", "--metrics-bind-address", "localhost"],
        {},
        ["--metrics-bind-address", "'localhost'", "':8080'", "'0' for off"],
    ),
    "a certificate without protection": (
        ["manager", "--metrics-cert-dir", "/certs"],
        {},
        ["--metrics-cert-dir", "no effect without --metrics-secure"],
    ),
    "an audience without protection": (
        ["manager"],
        {"AIM_METRICS_AUDIENCE": "a"},
        ["--metrics-audience", "no effect without --metrics-secure"],
    ),
    "a port out of range": (
        ["manager", "--health-probe-bind-address", ":99999"],
        {},
        ["--health-probe-bind-address", "':99999'"],
    ),
    "a namespace that cannot be": (
        ["manager", "--operator-namespace", "Kaiwo_System"],
        {},
        ["--operator-namespace", "'Kaiwo_System'", "lower-case"],
    ),
    "an empty namespace": (["manager", "--watch-namespace", ""], {}, ["--watch-namespace", "''"]),
    "the second namespace": (
        ["manager", "--watch-namespace", "good", "--watch-namespace", "Bad"],
        {},
        ["--watch-namespace", "'Bad'"],
    ),
    "a mirror without a registry": (
        ["manager", "--registry-mirror", "https://mirror.example"],
        {},
        ["--registry-mirror", "'https://mirror.example'", "HOST=URL"],
    ),
    "a mirror that is no URL": (
        ["manager", "--registry-mirror", "ghcr.io=mirror.example"],
        {},
        ["--registry-mirror", "'mirror.example'", "http://"],
    ),
    "a mirror with a login": (
        ["manager"],
        {"AIM_REGISTRY_MIRROR": "*=https://me:secret@mirror.example"},
        ["AIM_REGISTRY_MIRROR", "without credentials"],
    ),
    "a mirror with a login and without a registry": (
        ["manager", "--registry-mirror", "ghcr.io:https://me:hush@mirror.example"],
        {},
        ["--registry-mirror", "'mirror.example'", "HOST=URL"],
    ),
    "an allowed registry with a path": (
        ["manager", "--allowed-registry", "ghcr.io/silogen"],
        {},
        ["--allowed-registry", "'ghcr.io/silogen'", "host name"],
    ),
    "a mirror of no registry": (
        ["manager", "--registry-mirror", "*=http://a:1,gh cr.io=http://b:1"],
        {},
        ["--registry-mirror", "'gh cr.io'"],
    ),
    "a lease's namespace": (
        ["manager", "--leader-elect", "--leader-election-namespace", "a/b"],
        {},
        ["--leader-election-namespace", "'a/b'"],
    ),
    "a variable that is not a number": (
        ["manager"],
        {"AIM_DISCOVERY_LIMIT": "many"},
        ["AIM_DISCOVERY_LIMIT", "'many'"],
    ),
    "a variable that is neither yes nor no": (
        ["manager"],
        {"AIM_LEADER_ELECT": "maybe"},
        ["AIM_LEADER_ELECT", "'maybe'"],
    ),
    "a variable with a bad namespace": (
        ["manager"],
        {"AIM_WATCH_NAMESPACE": "good,Bad"},
        ["AIM_WATCH_NAMESPACE", "'Bad'"],
    ),
    "a port for dev": (["dev", "--port", "70000"], {}, ["--port", "'70000'", "65535"]),
    "an image with a blank": (
        ["manifests", "manager", "--image", "a b"],
        {},
        ["--image", "'a b'", "lower-case letters", "without the flag"],
    ),
    "an empty image": (["manifests", "--image", ""], {}, ["--image", "''", "without the flag"]),
    "a path for a name": (["rediscover", "team/llama"], {}, ["NAMES", "'team/llama'", "namespace with -n"]),
    "a part of an object": (["rediscover", "llama/status"], {}, ["NAMES", "'llama/status'", "name alone"]),
    "no name at all": (["rediscover", "good", ""], {}, ["NAMES", "''", "name alone"]),
    "a kind and a path": (["rediscover", "aimst/team/llama"], {}, ["NAMES", "'aimst/team/llama'", "-n"]),
    "no template": (["rediscover", "aimsvc/chat"], {}, ["NAMES", "'aimsvc/chat'", "AIMServiceTemplates"]),
    "a cluster template": (["rediscover", "aimclst/base"], {}, ["NAMES", "'aimclst/base'", "--cluster"]),
    "no cluster template": (
        ["rediscover", "aimst/llama", "--cluster"],
        {},
        ["NAMES", "'aimst/llama'", "AIMClusterServiceTemplates with --cluster"],
    ),
    "a name without its kind": (
        ["explain", "chat"],
        {},
        ["'chat'", "aimsvc", "such as: aimctl explain aimsvc chat"],
    ),
    "a path to explain": (["explain", "aimsvc", "team/chat"], {}, ["NAME", "'team/chat'", "with -n"]),
    "a path after a kind": (["explain", "aimsvc/team/chat"], {}, ["NAME", "'team/chat'", "with -n"]),
    "a name in capitals": (["explain", "aimsvc", "Chat"], {}, ["NAME", "'Chat'", "lower-case"]),
    "a name too long": (["explain", "aimsvc", "a" * 254], {}, ["NAME", "'aaa", "253"]),
    "a kind to filter by": (["status", "aimsvc/chat"], {}, ["NAME", "'aimsvc/chat'", "name alone"]),
    "a filter of nothing": (["status", ""], {}, ["NAME", "''", "name alone"]),
    "an unknown part": (["manifests", "crds"], {}, ["'crds'", "'crd'", "'rbac'", "'manager'"]),
}


@pytest.fixture(scope="module")
def outcomes():
    helps = {f"help {name}": ([name, "--help"], {}) for name in ("manager", "dev", "manifests")}
    wrong = {name: (args, env) for name, (args, env, _) in WRONG.items()}
    return aimctl_all({**helps, **wrong})


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_ends_with_2_and_one_line_that_shows_flag_value_and_rule(outcomes, name):
    done = outcomes[name]
    assert done.code == 2
    for word in WRONG[name][2]:
        assert word in done.complaint


def words(text: str) -> str:
    """The help as one line, with words that were broken at a hyphen joined."""
    return re.sub(r"- (?=[a-z])", "-", " ".join(text.split()))


@pytest.mark.parametrize(("flag", "variable"), MANAGER_FLAGS.items())
def test_the_help_of_the_manager_has_each_flag_with_its_variable(outcomes, flag, variable):
    done = outcomes["help manager"]
    assert done.code == 0
    paragraph = re.search(rf"{flag}\b(.*?)(?= --[a-z]|$)", words(done.out))
    assert paragraph is not None
    assert f"env var: {variable}" in words(done.out)
    assert re.search(rf"{flag}\b", done.out)


def test_the_help_has_defaults_and_ranges(outcomes):
    help_ = words(outcomes["help manager"].out)
    for text in (
        "default: 127.0.0.1:8080",
        "default: :8081",
        "default: 10; 1<=x<=1000",
        "default: kaiwo-system",
        "repeated",
    ):
        assert text in help_


@pytest.mark.parametrize("flag", DEV_FLAGS)
def test_the_help_of_dev_has_each_flag(outcomes, flag):
    assert flag in outcomes["help dev"].out


def test_the_help_of_manifests_has_parts_and_flags(outcomes):
    out = outcomes["help manifests"].out
    for word in ("all|crd|rbac|manager", "--output", "-o", "--operator-namespace", "--image"):
        assert word in out


def test_the_version_is_printed():
    done = aimctl("--version")
    assert (done.code, done.out, done.err) == (0, f"aimctl {__version__}\n", "")


def test_without_a_command_the_help_is_printed():
    done = aimctl()
    assert (done.code, done.err) == (0, "")
    for command in ("manager", "dev", "rediscover", "manifests"):
        assert re.search(rf"^  {command}  +\w.*\.$", done.out, re.MULTILINE), done.out
