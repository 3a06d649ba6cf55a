import pytest

from aimctl.devcluster.apiserver.builtin.pod_rules import pod_errors, template_errors


def spec(*containers, **other):
    return {"containers": list(containers), "restartPolicy": "Never", **other}


def container(name="a", image="i", **other):
    return {"name": name, "image": image, **other}


def test_a_valid_pod_has_no_errors():
    resources = {"limits": {"cpu": "500m", "amd.com/gpu": 1}, "requests": {"memory": "1Gi"}}
    assert list(pod_errors(spec(container(resources=resources)))) == []


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        (spec(), "spec.containers: Required value"),
        (spec({"name": "a"}), "spec.containers[0].image: Required value"),
        (spec(container(), container()), 'spec.containers[1].name: Duplicate value: "a"'),
        (
            spec(container(), initContainers=[container()]),
            'spec.containers[0].name: Duplicate value: "a"',
        ),
        (
            spec(container(), restartPolicy="Sometimes"),
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            spec(container(image=" i")),
            'spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace',
        ),
    ],
)
def test_an_invalid_pod_is_rejected_with_the_messages_of_the_server(pod, message):
    assert [str(error) for error in pod_errors(pod)] == [message]


def test_an_invalid_container_name_is_named():
    (error,) = pod_errors(spec(container(name="A_b")))
    assert str(error).startswith('spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label')


def test_a_job_name_that_is_not_a_label_value_is_rejected():
    template = {"metadata": {"labels": {"job-name": "x" * 64}}, "spec": spec(container())}
    (error,) = template_errors(template)
    assert error.field == "spec.template.labels"
    assert "must be no more than 63" in error.message
