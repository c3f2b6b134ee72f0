"""What is demanded of a bearer, line by line (RFC 8725), each with what must be refused and,
as the control, what must be accepted.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from api.bearers import DEFECTS, Claims, Make, but, hmac_with, now
from api.issuer import AUDIENCE, ISSUER, Issuer
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api.auth import Authenticator
from greenlang_secrets_api.config import ALGORITHMS, ApiConfig
from greenlang_secrets_api.denylist import Denylist
from greenlang_secrets_api.jwks import parse_jwks
from greenlang_secrets_api.key_sources import FileKeys
from greenlang_secrets_api.problems import ProblemError

URL = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwks_url": "https://issuer.test/jwks"}


@dataclass(frozen=True)
class Line:
    """One demand: names of `DEFECTS` that break it, and bearers that just keep it."""

    text: str
    refused: tuple[str, ...]
    accepted: dict[str, Make] = field(default_factory=dict)


def padded(size: int) -> Make:
    """A good bearer of exactly `size` octets, or as near below as base64 comes."""

    def make(issuer: Issuer, claims: Claims) -> str:
        filler = size
        while len(token := issuer.sign(but(claims, filler="x" * filler))) > size:
            filler -= max(1, (len(token) - size) * 3 // 4)
        assert size - 4 <= len(token)
        return token

    return make


LINES = (
    Line(
        "Fixed allow-list per issuer (default RS256, ES256, EdDSA)",
        ("alg that is not configured", "alg no text"),
        {
            "RS256": lambda i, c: i.sign(c),
            "ES256": lambda i, c: i.sign(c, key=i.ec, alg="ES256", kid="ec"),
            "EdDSA": lambda i, c: i.sign(c, key=i.ed, alg="EdDSA", kid="ed"),
        },
    ),
    Line(
        "`none` and HS* with a public key impossible by construction (key type bound to alg)",
        (
            *("alg none", "alg none, no signature", "alg None, in other letters"),
            *("HS256 with the public key, PEM", "HS256 with the public key, DER"),
            *("HS256 with the public key, JWK", "HS256 with the EC public key"),
            *("HS256 with an empty secret", "ES256 by RSA's key id", "RS256 by EC's key id"),
            *("EdDSA by EC's key id", "ES256 by Ed25519's key id"),
            *("signature of another key", "altered signature", "altered claims"),
            *("signature of zeros", "signature in DER"),
        ),
    ),
    Line(
        "`iss` exact",
        (
            *("wrong issuer", "issuer with a slash more", "issuer in other letters"),
            *("issuers", "without issuer"),
        ),
    ),
    Line(
        "`aud` must contain ours",
        (
            *("wrong audience", "audience that begins with ours", "without audience"),
            "no audience of several",
        ),
        {"one of several": lambda i, c: i.sign(but(c, aud=["other", AUDIENCE]))},
    ),
    Line(
        "`exp` required",
        (
            *("expired", "without exp", "exp as text", "exp not a number", "exp without end"),
            "exp true",
        ),
        {"to the half second": lambda i, c: i.sign(but(c, exp=time.time() + 60.5))},
    ),
    Line(
        "`nbf`/`iat` leeway 30 s",
        ("without iat", "iat in the future", "not yet valid", "nbf as text"),
        {
            "iat 20 s ahead": lambda i, c: i.sign(but(c, iat=now() + 20)),
            "nbf 20 s ahead": lambda i, c: i.sign(but(c, nbf=now() + 20)),
        },
    ),
    Line(
        "max lifetime 1 h",
        ("lives over an hour",),
        {"an hour": lambda i, c: i.sign(but(c, iat=now(), exp=now() + 3600))},
    ),
    Line(
        "`sub` required",
        (
            *("without subject", "empty subject", "long subject", "subject of two lines"),
            *("subject that is no Unicode", "subject no text"),
        ),
        {"with an umlaut": lambda i, c: i.sign(but(c, sub="Jürgen Ødegård"))},
    ),
    Line(
        "`typ` = `at+jwt` or configured",
        ("wrong typ", "typ of an id token", "without typ", "typ no text"),
        {
            "at+jwt": lambda i, c: i.sign(c, typ="at+jwt"),
            "application/at+JWT": lambda i, c: i.sign(c, typ="application/at+JWT"),
        },
    ),
    Line("`crit` refused", ("crit", "crit, empty")),
    Line(
        "`jku`/`x5u`/`jwk` headers ignored",
        ("own key in jwk", "own key at jku", "own key at x5u"),
        {"jku of a good one": lambda i, c: i.sign(c, jku="https://elsewhere.test/keys")},
    ),
    Line(
        "`kid` ≤128 chars and only a dict lookup",
        ("unknown kid", "kid of a path", "long kid", "empty kid", "kid no text", "without kid"),
    ),
    Line("token ≤8 KiB", ("9 KiB",), {"8 KiB": padded(8 * 1024)}),
    Line(
        "JWS only",
        (
            *("not a token", "two parts", "four parts", "five parts (JWE)", "a token in a token"),
            *("a second spelling", "padding", "header no object", "header no JSON"),
            "payload no object",
        ),
    ),
    Line("no `b64=false`", ("b64 true", "b64 false")),
    Line("no duplicate claims", ("a claim twice", "a header member twice")),
    Line(
        "Tenant claim name configurable, grammar of tenant ids",
        (
            *("tenant and platform", "neither tenant nor platform", "platform as text"),
            *("platform false and no tenant", "tenant outside the grammar", "tenant of a path"),
            *("tenant that is no text", "permissions as text"),
        ),
        {"the platform": lambda i, c: i.sign(but(c, tenant_id=None, platform=True))},
    ),
)


async def authenticator_of(
    issuer: Issuer, folder: Path, *, denied: str | None = None, **settings: object
) -> Authenticator:
    jwks = issuer.write(folder / "jwks.json")
    config = ApiConfig(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwks_file=jwks, **settings)
    keys = FileKeys(jwks)
    await keys.open()
    if denied is None:
        return Authenticator(config, keys)
    (folder / "denied").write_text(denied)
    denylist = Denylist(folder / "denied")
    await denylist.open()
    return Authenticator(config, keys, denylist=denylist)


async def problem_of(authenticator: Authenticator, token: str) -> ProblemError | None:
    """How the bearer is refused; None if it is accepted."""
    try:
        await authenticator.authenticate([(b"authorization", b"Bearer " + token.encode())])
    except ProblemError as problem:
        return problem
    return None


def made(make: Make, issuer: Issuer, claims: Claims) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyJWT warns of what is wrong with these tokens
        return make(issuer, claims)


def test_every_defect_breaks_one_line() -> None:
    """None is left over, and none is told twice."""
    named = [name for line in LINES for name in line.refused]

    assert sorted(named) == sorted(DEFECTS)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.text)
async def test_a_line_is_kept(line: Line, issuer: Issuer, tmp_path: Path) -> None:
    """What breaks it is refused with the one text, what keeps it is accepted."""
    authenticator = await authenticator_of(issuer, tmp_path)
    claims = issuer.claims()

    refused = {
        name: await problem_of(authenticator, made(DEFECTS[name], issuer, claims))
        for name in line.refused
    }
    accepted = {
        name: await problem_of(authenticator, made(make, issuer, claims))
        for name, make in (line.accepted or {"a good one": lambda i, c: i.sign(c)}).items()
    }

    assert {name: problem and problem.code for name, problem in refused.items()} == dict.fromkeys(
        line.refused, "invalid_token"
    )
    assert accepted == dict.fromkeys(accepted)


async def test_401_has_one_text_for_all_causes(issuer: Issuer, tmp_path: Path) -> None:
    """Demanded: "401 always `WWW-Authenticate: Bearer error="invalid_token"` with one text for all causes":
    only who sent no bearer at all is told the scheme and of no error (RFC 6750, 3.1).
    """
    authenticator = await authenticator_of(issuer, tmp_path)

    problems = [
        await problem_of(authenticator, made(make, issuer, issuer.claims()))
        for make in DEFECTS.values()
    ]

    assert {(problem.code, problem.errors, problem.headers) for problem in problems if problem} == {
        ("invalid_token", (), ((b"www-authenticate", b'Bearer error="invalid_token"'),))
    }
    with pytest.raises(ProblemError) as none:
        await authenticator.authenticate([])
    assert none.value.headers == ((b"www-authenticate", b"Bearer"),)


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none", "ES256K", ""])
def test_the_list_of_algorithms_has_no_symmetric_one(algorithm: str) -> None:
    """Demanded: "HS* impossible by construction": it cannot even be configured."""
    assert algorithm not in ALGORITHMS
    with pytest.raises(ConfigurationError, match="JWT_ALGORITHMS"):
        ApiConfig(**URL, algorithms=frozenset({algorithm}))


async def test_each_algorithm_that_can_be_configured_works_with_its_key_alone(
    issuer: Issuer, tmp_path: Path
) -> None:
    """Demanded: "key type bound to alg": with every algorithm allowed, a key still takes those of its
    own type.
    """
    authenticator = await authenticator_of(issuer, tmp_path, algorithms=ALGORITHMS)
    claims = issuer.claims()
    keys = {"rsa": issuer.rsa, "ec": issuer.ec, "ed": issuer.ed}
    own = {
        "rsa": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
        "ec": {"ES256"},
        "ed": {"EdDSA"},
    }

    accepted = {
        (kid, algorithm)
        for kid in keys
        for name, key in keys.items()
        for algorithm in own[name]
        if await problem_of(authenticator, issuer.sign(claims, key=key, alg=algorithm, kid=kid))
        is None
    }
    forgery = await problem_of(
        authenticator, made(hmac_with(lambda i: i.public_pem()), issuer, claims)
    )

    assert accepted == {(kid, algorithm) for kid, names in own.items() for algorithm in names}
    assert forgery


@pytest.mark.parametrize("name", ["tid", "https://greenlang.test/tenant"])
async def test_the_tenants_claim_is_the_one_configured(
    name: str, issuer: Issuer, tmp_path: Path
) -> None:
    """Demanded: "Tenant claim name configurable": another claim names no tenant."""
    authenticator = await authenticator_of(issuer, tmp_path, jwt_tenant_claim=name)
    ours = issuer.sign(but(issuer.claims(), tenant_id="globex", **{name: "acme"}))

    principal = await authenticator.authenticate([(b"authorization", f"Bearer {ours}".encode())])

    assert str(principal.tenant) == "acme"
    assert await problem_of(authenticator, issuer.sign(issuer.claims()))
    both = issuer.sign(but(issuer.claims(), platform=True, **{name: "acme"}))
    assert await problem_of(authenticator, both)


@pytest.mark.parametrize("name", ["", "sub", "platform", "permissions", "jti"])
def test_a_claim_that_means_something_else_holds_no_tenant(name: str) -> None:
    """The refusal names the setting."""
    with pytest.raises(ConfigurationError, match="JWT_TENANT_CLAIM"):
        ApiConfig(**URL, jwt_tenant_claim=name)


@pytest.mark.parametrize(
    ("url", "environment", "good"),
    [
        ("https://issuer.test/jwks", "production", True),
        ("http://issuer.test/jwks", "development", False),
        ("http://127.0.0.1:9/jwks", "development", True),
        ("http://localhost:9/jwks", "development", True),
        ("http://127.0.0.1:9/jwks", "staging", False),
        ("http://127.0.0.1.elsewhere.test/jwks", "development", False),
        ("file:///etc/passwd", "development", False),
        ("ftp://127.0.0.1/jwks", "development", False),
    ],
)
def test_jwks_come_over_https(url: str, environment: str, good: bool) -> None:  # noqa: FBT001
    """Demanded: "JWKS https only": plain HTTP is for this machine, in development."""
    environ = {
        "GREENLANG_SECRETS_ENVIRONMENT": environment,
        "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
        "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
        "GREENLANG_SECRETS_JWT_JWKS_URL": url,
    }

    if good:
        assert ApiConfig.from_env(environ=environ).jwks_url == url
        return
    with pytest.raises(ConfigurationError, match="JWT_JWKS_URL"):
        ApiConfig.from_env(environ=environ)


def _jwks(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def _rsa(bits: int, **members: object) -> dict[str, object]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": "k", **members}


@pytest.mark.parametrize(
    "make",
    [
        lambda: _rsa(1024),
        lambda: _rsa(2048, use="enc"),
        lambda: _rsa(2048, key_ops=["encrypt"]),
        lambda: _rsa(2048, key_ops="verify"),
        lambda: _rsa(2048, alg="HS256"),
        lambda: _rsa(2048, alg="ES256"),
        lambda: {"kty": "oct", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg", "kid": "k"},
        lambda: {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k"},
    ],
    ids=["1024 bits", "use", "key_ops", "key_ops no list", "HS256", "ES256", "oct", "no point"],
)
def test_rsa_keys_have_2048_bits_and_others_are_not_taken(
    make: Callable[[], dict[str, object]],
) -> None:
    """Demanded: "RSA ≥2048": beside such a key, what may not verify is left out of a JWKS."""
    good = _rsa(2048, kid="good", key_ops=["verify"])

    assert set(parse_jwks(_jwks(make(), good))) == {"good"}


async def test_a_jwks_file_has_256_kib_at_most(issuer: Issuer, tmp_path: Path) -> None:
    """Demanded: "≤256 KiB": a larger one is refused and not cut."""
    file = tmp_path / "jwks.json"
    document = json.dumps(issuer.jwks())
    file.write_text(document + " " * (256 * 1024 - len(document)))
    await FileKeys(file).open()
    file.write_text(document + " " * (256 * 1024 - len(document) + 1))

    with pytest.raises(ConfigurationError, match="262144 octets"):
        await FileKeys(file).open()


async def test_a_key_that_is_removed_verifies_nothing_any_more(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bearer that was accepted, and is remembered, is refused once its key is gone."""
    authenticator = await authenticator_of(issuer, tmp_path)
    by_rsa = issuer.sign(issuer.claims())
    by_ec = issuer.sign(issuer.claims(), key=issuer.ec, alg="ES256", kid="ec")
    before = [await problem_of(authenticator, token) for token in (by_rsa, by_ec)]
    monkeypatch.setattr("greenlang_secrets_api.watched_file.CHECK", 0.0)
    document = issuer.jwks()
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": document["keys"][1:]}))

    after = [await problem_of(authenticator, token) for token in (by_rsa, by_ec)]

    assert before == [None, None]
    assert after[0] is not None
    assert after[1] is None


async def test_a_revoked_bearer_is_refused_although_it_is_remembered(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Demanded: "optional `jti` denylist for revocation": at the next look at the file, and for good."""
    monkeypatch.setattr("greenlang_secrets_api.watched_file.CHECK", 0.0)
    authenticator = await authenticator_of(issuer, tmp_path, denied="")
    revoked = issuer.sign(issuer.claims(jti="a-1"))
    other = issuer.sign(issuer.claims(jti="a-2"))
    before = [await problem_of(authenticator, token) for token in (revoked, other)]

    (tmp_path / "denied").write_text("a-0\n\n  a-1 \n")
    after = [await problem_of(authenticator, token) for token in (revoked, other)]

    assert before == [None, None]
    assert after[0] is not None
    assert after[0].code == "invalid_token"
    assert after[1] is None


async def test_with_a_denylist_a_bearer_needs_an_id(issuer: Issuer, tmp_path: Path) -> None:
    """What could not be revoked is not accepted; without a list no id is asked for."""
    strict = await authenticator_of(issuer, tmp_path, denied="other\n")
    lax = await authenticator_of(issuer, tmp_path)
    without = [issuer.sign(issuer.claims(jti=jti)) for jti in (None, "", 7, "x" * 257)]

    assert all([await problem_of(strict, token) for token in without])
    assert not any([await problem_of(lax, token) for token in without])
    assert await problem_of(strict, issuer.sign(issuer.claims(jti="x" * 256))) is None
