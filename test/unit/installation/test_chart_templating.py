"""Objects become Helm templates: code is inserted where it is asked for, and everything else is literal."""

from __future__ import annotations

from aimctl.installation.templating import Inline, Lines, guarded, literal, template, with_value


def test_code_in_place_of_a_scalar_is_not_quoted() -> None:
    assert (
        template({"replicas": Inline("{{ int .Values.replicas }}")})
        == "replicas: {{ int .Values.replicas }}\n"
    )


def test_code_in_place_of_an_entry_replaces_its_key_and_has_its_indentation() -> None:
    text = template({"spec": {"first": 1, "nodeSelector": with_value("nodeSelector", "nodeSelector")}})
    assert text.splitlines() == [
        "spec:",
        "  first: 1",
        "  {{- with .Values.nodeSelector }}",
        "  nodeSelector:",
        "    {{- toYaml . | nindent 4 }}",
        "  {{- end }}",
    ]


def test_code_in_place_of_an_item_of_a_list_may_be_several_items() -> None:
    items = Lines("{{- range .Values.more }}\n- {{ . }}\n{{- end }}")
    assert template({"a": {"args": ["one", items]}}).splitlines() == [
        "a:",
        "  args:",
        "  - one",
        "  {{- range .Values.more }}",
        "  - {{ . }}",
        "  {{- end }}",
    ]


def test_delimiters_in_values_are_literal() -> None:
    assert template({"summary": "of {{ $labels.name }}"}) == 'summary: of {{ "{{" }} $labels.name }}\n'
    assert literal("no code") == "no code"


def test_a_guarded_template_is_rendered_on_a_condition() -> None:
    assert guarded(".Values.on", "a: 1\n") == "{{- if .Values.on }}\na: 1\n{{- end }}\n"
