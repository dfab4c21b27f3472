"""What an operator types."""

import pytest

from adapter.errors import BadInput
from adapter.settings import read_settings

FILES = {"tls_cert_file": "c", "tls_key_file": "k", "client_ca_file": "a", "targets_file": "t"}


def test_files_are_enough() -> None:
    settings = read_settings(FILES)
    assert (settings.collection_interval_seconds, settings.max_age_seconds) == (15.0, 60.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"port": 70000}, "port: was 70000, input should be less than or equal to 65535", id="a-port"),
        pytest.param({"max_age_seconds": 10}, "^max_age_seconds: was 10, must be at least", id="an-age-too-short"),
        pytest.param({"max_age": 10}, "max_age: was 10, extra inputs", id="a-setting-that-is-none"),
    ],
)
def test_a_bad_setting_is_one_line_with_field_value_and_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_settings({**FILES, **values})
    assert "\n" not in str(caught.value)


def test_a_missing_file_setting_is_named() -> None:
    with pytest.raises(BadInput, match="targets_file"):
        read_settings({key: value for key, value in FILES.items() if key != "targets_file"})
