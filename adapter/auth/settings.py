"""What an operator sets about who may ask, and about the certificate that the adapter shows."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from adapter.errors import BadInput
from adapter.sources.section import Section

_DnsName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9*]([-a-z0-9.]*[a-z0-9])?$")]
_Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class AuthenticationSettings(Section):
    """Who asks. By default as a Go API server behind the aggregation layer does it: front proxy, client
    certificates of the cluster's CA, bearer tokens."""

    client_ca_file: Path | None = Field(None, alias="clientCAFile")
    """PEM bundle of the CAs whose client certificates are users. Given, nothing else is: no cluster is asked, no
    header and no token believed, and whoever shows a certificate may read everything. For tests and demos, and
    where no kube-apiserver stands between."""
    allowed_names: tuple[str, ...] = ()
    """With clientCAFile: common names accepted; none means any that the CA has signed."""
    anonymous: bool = False
    """Whether who shows no credential is taken as system:anonymous, and the API server asked what they may do.
    Go API servers do; off by default, because a stranger could make the adapter send a review for each request,
    and clients of the aggregation layer always show one: an anonymous one is answered 401."""
    token_audiences: tuple[str, ...] = ()
    """Audiences of which a bearer token must have one; none means the API server's own."""
    token_cache_seconds: float = Field(10.0, ge=0.0, le=300.0)
    """Seconds for which a token stays good without another review, also after it was revoked. 10 as in Go API
    servers (pkg/server/options/authentication.go, CacheTTL)."""
    refused_token_cache_seconds: float = Field(2.0, ge=0.0, le=300.0)
    """Seconds for which a token stays refused. Short: a new ServiceAccount's token may be judged too early."""
    max_cached_tokens: int = Field(4096, ge=1, le=100_000)
    """Good tokens remembered, and refused ones as many again; about 1 KiB each. Some clients would do; a
    misdirected fleet does no harm."""
    max_concurrent_reviews: int = Field(32, ge=1, le=1000)
    """TokenReviews under way at a time: what the API server must bear when many tokens come at once."""
    review_timeout_seconds: float = Field(10.0, ge=0.1, le=60.0)
    """Seconds for one review, its wait for a free place included. 10 as in Go (TokenRequestTimeout)."""

    @model_validator(mode="after")
    def _names_belong_to_a_file(self) -> Self:
        if self.allowed_names and self.client_ca_file is None:
            raise BadInput(
                f"allowedNames: were {list(self.allowed_names)}, must be empty without clientCAFile (the cluster's "
                "ConfigMap names its front proxies itself); remove them or set clientCAFile"
            )
        return self


class AuthorizationSettings(Section):
    """Who may do what, by SubjectAccessReview. Not used with clientCAFile."""

    allow_cache_seconds: float = Field(10.0, ge=0.0, le=300.0)
    """Seconds for which a permission holds without another review, also after it was withdrawn. 10 as in Go API
    servers (pkg/server/options/authorization.go, AllowCacheTTL)."""
    deny_cache_seconds: float = Field(10.0, ge=0.0, le=300.0)
    """Seconds for which a refusal holds. 10 as in Go (DenyCacheTTL)."""
    max_cached_verdicts: int = Field(8192, ge=1, le=1_000_000)
    """Permissions remembered, and refusals as many again; about 1 KiB each. 8192 as in Go (webhook.go)."""
    ask_for_whole_group_first: bool = True
    """Whether one review asks if the user may read the whole API group in all namespaces, before any asks for one
    metric. Turn it off where an authorizer allows everything but denies single metrics or namespaces: such a
    denial would not be seen. RBAC has no denials."""
    always_allow_groups: tuple[str, ...] = ("system:masters",)
    """Groups that may do everything without a review. system:masters may anyway; the aggregator's own probes come
    as a member, and must pass while the API server is slow."""
    max_concurrent_reviews: int = Field(32, ge=1, le=1000)
    """SubjectAccessReviews under way at a time: what the API server must bear after a restart."""
    review_timeout_seconds: float = Field(10.0, ge=0.1, le=60.0)
    """Seconds for one review, its wait for a free place included. 10 as in Go (ClientTimeout)."""


class ServingCertificateSettings(Section):
    """The certificate that the adapter shows: from files, or made and renewed by itself."""

    cert_file: Path | None = None
    """PEM certificate with its chain, for example mounted from a Secret of cert-manager. Read anew as it changes."""
    key_file: Path | None = None
    """PEM private key of certFile, without a passphrase."""
    reload_seconds: float = Field(10.0, ge=1.0, le=3600.0)
    """Seconds between looks at the files. The kubelet itself takes up to a minute to bring a changed Secret."""
    namespace: _Label = "leadtime-system"
    """Without files: namespace of the Service and of the Secret. These three defaults are the names in manifests/."""
    service_name: _Label = "leadtime-adapter"
    """Without files: the Service that the APIServices name; `<serviceName>.<namespace>.svc` goes into the
    certificate, because the API server asks for that name."""
    secret_name: _DnsName = "leadtime-adapter-serving"  # noqa: S105
    """Without files: the Secret by which all replicas share one CA and one certificate."""
    extra_dns_names: tuple[_DnsName, ...] = Field((), max_length=32)
    """Without files: further names in the certificate, for clients that come past the API server."""
    certificate_days: float = Field(90.0, ge=1.0, le=825.0)
    """Days for which a certificate is valid. It is renewed when a third is left. 825 is the most that common
    clients accept."""
    authority_days: float = Field(730.0, ge=2.0, le=7300.0)
    """Days for which the CA is valid. Its successor is announced when a third is left."""
    overlap_seconds: float = Field(3600.0, ge=60.0, le=604_800.0)
    """Seconds for which a new CA is announced before anything signed by it is shown, and an old one is announced
    after. An hour: many times the minute in which every replica looks at the Secret."""
    sync_seconds: float = Field(60.0, ge=1.0, le=3600.0)
    """Seconds between looks at the Secret and the APIServices."""

    @model_validator(mode="after")
    def _both_files_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            given, missing = ("certFile", "keyFile") if self.key_file is None else ("keyFile", "certFile")
            raise BadInput(f"{missing}: was not set, must be given together with {given}; set both or neither")
        return self

    @model_validator(mode="after")
    def _authorities_outlive_certificates(self) -> Self:
        if self.authority_days < 2 * self.certificate_days:
            raise BadInput(
                f"authorityDays: was {self.authority_days:g}, must be at least twice certificateDays "
                f"({self.certificate_days:g}), or a CA would end before its certificates; raise it"
            )
        return self
