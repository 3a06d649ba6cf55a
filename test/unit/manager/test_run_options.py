"""The flags and environment variables of run(), and the errors that it reports before it connects."""

from __future__ import annotations

import json

import pytest

from aimctl.runtime import (
    CannotRun,
    ConnectionFailed,
    RunOptions,
    SecureServing,
    parse_options,
    run,
    run_manager,
)

DEFAULTS = RunOptions("my-operator")


def parsed(*argv: str, **environ: str) -> RunOptions:
    return parse_options(DEFAULTS, argv, environ=environ)


def test_without_flags_and_variables_the_defaults_apply():
    assert parsed() == DEFAULTS


def test_a_variable_replaces_the_default_and_a_flag_the_variable():
    assert parsed(MY_OPERATOR_LOG_LEVEL="debug").log_level == "debug"
    assert parsed("--log-level", "error", MY_OPERATOR_LOG_LEVEL="debug").log_level == "error"


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        ([], {}, True),
        (["--no-leader-elect"], {}, False),
        ([], {"MY_OPERATOR_LEADER_ELECT": "false"}, False),
        (["--leader-elect"], {"MY_OPERATOR_LEADER_ELECT": "no"}, True),
    ],
)
def test_leader_election_can_be_switched_off(argv, environ, expected):
    assert parsed(*argv, **environ).leader_elect is expected


def test_several_namespaces_are_separated_by_commas():
    assert parsed("--watch-namespace", "a, b").watch_namespaces == ("a", "b")
    assert parsed(MY_OPERATOR_WATCH_NAMESPACE="c").watch_namespaces == ("c",)


def test_the_metrics_are_plain_on_loopback_unless_they_are_protected():
    plain = parsed()
    assert (plain.metrics_bind_address, plain.metrics_secure) == ("127.0.0.1:8080", False)
    flags = ("--metrics-secure", "--metrics-cert-dir", "/certs", "--metrics-audience", "a, b")
    secure = parsed(*flags)
    assert (secure.metrics_secure, secure.metrics_cert_dir) == (True, "/certs")
    assert secure.metrics_audiences == ("a", "b")
    variables = {"MY_OPERATOR_METRICS_SECURE": "true", "MY_OPERATOR_METRICS_AUDIENCE": "a,b"}
    assert parsed(**variables).metrics_audiences == ("a", "b")
    with pytest.raises(ValueError, match="no effect without metrics_secure"):
        RunOptions("a", metrics_cert_dir="/certs")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cert_dir": None}, "cert_dir=None"),
        ({"audiences": "a"}, "audiences='a'"),
        ({"audiences": ("a", "")}, "must not be empty"),
    ],
    ids=["folder", "text", "empty"],
)
def test_wrong_options_of_protected_metrics_are_rejected(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        SecureServing(**options)


@pytest.mark.parametrize(
    ("argv", "environ", "words"),
    [
        (["--metrics-cert-dir", "/certs"], {}, ["--metrics-cert-dir", "without --metrics-secure"]),
        ([], {"MY_OPERATOR_METRICS_AUDIENCE": "a"}, ["--metrics-audience", "without --metrics-secure"]),
        ([], {"MY_OPERATOR_METRICS_SECURE": "perhaps"}, ["$MY_OPERATOR_METRICS_SECURE", "true or false"]),
        (["--log-level", "loud"], {}, ["--log-level", "'loud'", "debug, info, warning, error"]),
        ([], {"MY_OPERATOR_LOG_FORMAT": "xml"}, ["$MY_OPERATOR_LOG_FORMAT", "'xml'", "json, console"]),
        ([], {"MY_OPERATOR_LEADER_ELECT": "perhaps"}, ["$MY_OPERATOR_LEADER_ELECT", "true or false"]),
        (["--metrics-bind-address", "x"], {}, ["--metrics-bind-address", "'x'", "127.0.0.1:8080"]),
        (["--watch-namespace", "a/b"], {}, ["--watch-namespace", "a/b"]),
        (["--stall-seconds", "soon"], {}, ["--stall-seconds", "'soon'", "0 for off"]),
        ([], {"MY_OPERATOR_STALL_SECONDS": "inf"}, ["$MY_OPERATOR_STALL_SECONDS", "'inf'", "0 for off"]),
        (["--colour"], {}, ["--colour"]),
    ],
)
def test_a_wrong_value_ends_with_status_2_and_names_flag_value_and_rule(argv, environ, words, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(*argv, **environ)
    assert ended.value.code == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert [word for word in words if word not in complaint] == []


def test_help_lists_every_option_with_its_variable(capsys):
    with pytest.raises(SystemExit) as ended:
        parsed("--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in ("KUBECONFIG", "LEADER_ELECT", "METRICS_BIND_ADDRESS", "WATCH_NAMESPACE", "LOG_FORMAT"):
        assert f"$MY_OPERATOR_{name}" in text


def test_the_report_of_a_blocked_loop_can_be_changed():
    assert parsed().stall_seconds == 0.8
    assert parsed("--stall-seconds", "0").stall_seconds == 0
    with pytest.raises(ValueError, match="stall_seconds=-1"):
        RunOptions("a", stall_seconds=-1)


@pytest.mark.parametrize(
    ("argv", "environ", "server"),
    [
        ([], {}, "http://127.0.0.1:1"),
        (["--context", "other"], {}, "http://127.0.0.1:2"),
        ([], {"A_CONTEXT": "other"}, "http://127.0.0.1:2"),
        (["--context", ""], {"A_CONTEXT": "other"}, "http://127.0.0.1:1"),
    ],
    ids=["current", "flag", "variable", "empty flag"],
)
def test_a_context_selects_the_cluster_as_in_kubectl(kubeconfig, argv, environ, server, capsys):
    with pytest.raises(SystemExit):
        run(lambda manager: None, name="a", argv=["--kubeconfig", kubeconfig, *argv], environ=environ)
    error = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert error.startswith(f"the API server at {server}: ")
    assert error.endswith(ConnectionFailed.remedy)


def test_a_missing_context_is_an_error_that_names_the_others(kubeconfig, capsys):
    with pytest.raises(SystemExit):
        run(lambda manager: None, name="a", argv=["--kubeconfig", kubeconfig, "--context", "x"], environ={})
    error = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert [word for word in ("'x'", "c", "other") if word not in error] == []


@pytest.mark.parametrize("name", ["", "My operator", "-a", "x" * 64])
def test_a_name_that_cannot_name_a_lease_is_rejected(name):
    with pytest.raises(ValueError, match="lower-case"):
        RunOptions(name)


@pytest.mark.parametrize("arguments", [{}, {"name": "a", "defaults": DEFAULTS}])
def test_run_needs_a_name_or_defaults(arguments):
    with pytest.raises(ValueError, match="name of the operator"):
        run(**arguments)


def test_an_operator_that_cannot_connect_logs_one_record_and_exits_with_status_1(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(lambda manager: None, name="a", argv=["--kubeconfig", str(tmp_path / "none")], environ={})
    assert ended.value.code == 1
    (record,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (record["level"], record["event"], record["logger"]) == ("error", "the operator ended", "a")
    assert str(tmp_path / "none") in record["error"]


@pytest.fixture
def kubeconfig(tmp_path):
    path = tmp_path / "config"
    path.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [
                    {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}},
                    {"name": "d", "cluster": {"server": "http://127.0.0.1:2"}},
                ],
                "contexts": [
                    {"name": "c", "context": {"cluster": "c", "user": "u"}},
                    {"name": "other", "context": {"cluster": "d"}},
                ],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    return str(path)


async def test_an_asynchronous_setup_function_is_rejected(kubeconfig):
    async def setup(manager): ...

    options = RunOptions("a", kubeconfig=kubeconfig)
    with pytest.raises(TypeError, match="define it with 'def'"):
        await run_manager(options, setup, environ={})


async def test_a_bind_address_that_cannot_be_used_is_named_by_its_flag(kubeconfig):
    options = RunOptions("a", kubeconfig=kubeconfig, metrics_bind_address="x")
    with pytest.raises(CannotRun, match="--metrics-bind-address='x'"):
        await run_manager(options, environ={})
