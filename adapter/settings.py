"""What an operator sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapter.errors import BadInput


class AdapterSettings(BaseModel):
    """The adapter's settings; `read_settings` turns what people type into one, or into one clear line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("0.0.0.0", min_length=1)  # noqa: S104
    """Address to listen on. All by default: the API server comes from another node."""
    port: int = Field(6443, ge=0, le=65535)
    """TCP port; 0 takes a free one. 6443 is what other metrics adapters use."""
    tls_cert_file: Path
    """PEM serving certificate, with its chain."""
    tls_key_file: Path
    """PEM private key of tls_cert_file, without a passphrase."""
    client_ca_file: Path
    """PEM bundle of the CAs whose client certificates are accepted."""
    allowed_names: tuple[str, ...] = ()
    """Common names accepted in client certificates; none means any that the CA has signed."""
    targets_file: Path
    """JSON list of the pages to scrape; read anew at each collection."""
    collection_interval_seconds: float = Field(15.0, ge=1.0, le=3600.0)
    """Seconds between collections. 15 is the HPA's own period."""
    scrape_timeout_seconds: float = Field(2.0, ge=0.1, le=30.0)
    """Seconds for one page. A healthy page takes milliseconds."""
    max_age_seconds: float = Field(60.0, ge=1.0, le=3600.0)
    """Seconds until a sample counts as missing. Four collections at the default interval: the HPA never
    looks at a sample's age, so the adapter must."""
    max_concurrent_scrapes: int = Field(64, ge=1, le=1000)
    """Pages fetched at a time, which bounds sockets and memory (8 MB a page at worst)."""

    @model_validator(mode="after")
    def _ages_outlast_collections(self) -> Self:
        if self.max_age_seconds < self.collection_interval_seconds:
            raise BadInput(
                f"max_age_seconds: was {self.max_age_seconds:g}, must be at least "
                f"collection_interval_seconds ({self.collection_interval_seconds:g}), "
                "or every value is missing between collections; raise it"
            )
        return self


def read_settings(values: Mapping[str, object]) -> AdapterSettings:
    """Settings from field names and values. Raises BadInput with the first fault."""
    try:
        return AdapterSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if isinstance(fault := first.get("ctx", {}).get("error"), BadInput):
            raise BadInput(str(fault)) from error
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise BadInput(f"{field}: was {first['input']!r}, {message}") from error
