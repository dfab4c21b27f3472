"""The configuration that an operator writes: defaults that need no cluster knowledge, and one line for each fault."""

from pathlib import Path

import pytest

from adapter.configuration_file import parse_configuration, read_configuration
from adapter.errors import BadInput


def test_an_empty_file_scrapes_pods_and_trusts_the_cluster() -> None:
    settings = parse_configuration("", "adapter.yaml")
    assert [source.named for source in settings.sources] == ["scrape"]
    assert settings.authentication.client_ca_file is None
    assert settings.discovery.targets_file is None
    assert settings.server.port == 6443


def test_sources_keep_their_order_and_have_the_lag_of_their_kind() -> None:
    settings = parse_configuration(
        """
sources:
- scrape: {}
- {name: gmp, prometheus: {url: "https://prometheus:9090", intervalSeconds: 30}}
- cloudMonitoring: {project: p, location: us-central1, cluster: gpu}
- {name: other, lagSeconds: 5, prometheus: {url: "http://localhost:9090"}}
""",
        "adapter.yaml",
    )
    assert [(one.named, one.kind, one.lag, one.interval_seconds) for one in settings.sources] == [
        ("scrape", "scrape", 0.0, 15.0),
        ("gmp", "prometheus", 60.0, 30.0),
        ("cloudMonitoring", "cloudMonitoring", 240.0, 30.0),
        ("other", "prometheus", 5.0, 15.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("server: {port: 70000}", "f:1: server.port: was 70000, must be in [0, 65535]", id="out-of-range"),
        pytest.param(
            "sources:\n- prometheus:\n    url: http://x\n    intervall: 3",
            "f:4: sources[0].prometheus.intervall: was not expected, did you mean intervalSeconds?",
            id="an-unknown-key-with-the-nearest",
        ),
        pytest.param("sources: [{}]", "f:1: sources[0]: had no kind, must have exactly one of", id="no-kind"),
        pytest.param(
            "sources: [{scrape: {}, prometheus: {url: http://x}}]",
            "f:1: sources[0]: had scrape and prometheus, must have exactly one of",
            id="two-kinds",
        ),
        pytest.param("sources: []", "f:1: sources: had none, ", id="no-source"),
        pytest.param(
            "sources: [{scrape: {}}, {scrape: {}}]", "f:1: sources: name 'scrape' was there twice", id="one-name-twice"
        ),
        pytest.param(
            "discovery: {targetsFile: t.json, kubernetes: {}}",
            "f:1: discovery: kubernetes and targetsFile are both given",
            id="two-discoveries",
        ),
        pytest.param(
            "servingCertificate: {certFile: a}", "f:1: servingCertificate.keyFile: was not set", id="half-pair"
        ),
        pytest.param("kind: Deployment", "f:1: kind: was 'Deployment', must be one of", id="another-kind"),
        pytest.param("server: {port: 1}\nserver: {port: 2}", "f:2: ", id="a-key-twice"),
        pytest.param("server: [", "f:", id="not-yaml"),
        pytest.param("- a", "f:1: file: was ", id="no-mapping"),
    ],
)
def test_a_fault_is_one_line_with_file_line_field_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_configuration(text, "f")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config: was '.*/none.yaml', must be a readable UTF-8 file"):
        read_configuration(tmp_path / "none.yaml")
