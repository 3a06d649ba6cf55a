"""The rules of pod specs apply to pods and to the templates of every workload; see also the conformance groups."""

import pytest

from aimctl.devcluster.apiserver.builtin.rules.pods.spec import pod, pod_spec, pod_template


def spec(*containers, **other):
    return {"containers": list(containers), "restartPolicy": "Never", **other}


def container(name="a", image="i", **other):
    return {"name": name, "image": image, **other}


def test_a_valid_pod_has_no_errors():
    resources = {"limits": {"cpu": "500m", "example.com/gpu": 1}, "requests": {"memory": "1Gi"}}
    assert list(pod(spec(container(resources=resources)), "spec")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (spec(), "spec.containers: Required value"),
        (spec({"name": "a"}), "spec.containers[0].image: Required value"),
        (spec(container(), container()), 'spec.containers[1].name: Duplicate value: "a"'),
        (
            spec(container(), initContainers=[container()]),
            'spec.initContainers[0].name: Duplicate value: "a"',
        ),
        (
            spec(container(), restartPolicy="Sometimes"),
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
    ],
)
def test_an_invalid_pod_is_rejected_with_the_messages_of_the_server(content, message):
    assert [str(error) for error in pod_spec(content, "spec")] == [message]


def test_spaces_around_an_image_are_rejected_in_pods_only():
    content = spec(container(image=" i"))
    assert list(pod_spec(content, "spec")) == []
    (error,) = pod(content, "spec")
    text = 'Invalid value: " i": must not have leading or trailing whitespace'
    assert str(error) == f"spec.containers[0].image: {text}"


def test_an_invalid_container_name_is_named():
    (error,) = pod_spec(spec(container(name="A_b")), "spec")
    assert str(error).startswith('spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label')


def test_a_job_name_that_is_not_a_label_value_is_rejected():
    template = {"metadata": {"labels": {"job-name": "x" * 64}}, "spec": spec(container())}
    (error,) = pod_template(template, "spec.template")
    assert error.field == "spec.template.labels"
    assert "must be no more than 63" in error.message
