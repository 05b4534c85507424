"""Access tokens, from curl over a real gateway process to a real issuer over HTTPS."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.services import curl
from tests.services.background import Background
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.issuer import IssuerServer

from gatepost.lab.sink import Sink

pytestmark = pytest.mark.service("curl")
Gateways = Callable[..., GatewayUnderTest]
MECHANISMS = ("auth = true", 'auth-mechanisms = ["OAUTHBEARER", "XOAUTH2"]', 'auth-tarpit = "0s"')


@pytest.fixture
def issuer(background: Background, tmp_path: Path) -> Iterator[IssuerServer]:
    made = IssuerServer(tmp_path)
    background.run(made.start())
    yield made
    background.run(made.stop())


def shown(running: GatewayUnderTest, token: str, mechanism: str) -> tuple[int, str]:
    """curl's exit status, and what was said."""
    done = curl.send(
        running.port, "--login-options", f"AUTH={mechanism}", "--user", "ann:", "--oauth2-bearer", token
    )
    return done.returncode, done.stderr


@pytest.mark.threat("E08", "E14")
def test_the_issuer_is_asked_about_tokens(
    gateway: Gateways, sink: Sink, issuer: IssuerServer, background: Background, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("süss\n", "utf-8")
    secret.chmod(0o600)
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=MECHANISMS,
        more="[users.tokens]\n"
        f'audience = "mail"\nuser-claim = "username"\nca-file = "{issuer.ca_file}"\n'
        "[users.tokens.introspection]\n"
        f'url = "{issuer.url()}"\nclient-id = "gatepost"\nsecret-file = "{secret}"\ncache-time = "0s"\n',
    )
    # Given a token that counts, one for another service, and one the issuer does not know
    good = {"active": True, "username": "ann", "aud": "mail", "exp": time.time() + 600}
    issuer.tokens.update({"good": good, "other": {**good, "aud": "calendar"}})
    # Then the first lets its owner in, both ways
    for mechanism in ("OAUTHBEARER", "XOAUTH2"):
        status, said = shown(running, "good", mechanism)
        assert status == 0, said
        assert "235 2.7.0" in said
    # And the others let nobody in
    for token in ("other", "unknown"):
        status, said = shown(running, token, "OAUTHBEARER")
        assert status != 0
        assert "535 5.7.8" in said
    # When the issuer is away nothing is decided
    background.run(issuer.stop())
    status, said = shown(running, "good", "XOAUTH2")
    assert status != 0
    assert "454 4.7.0" in said
    assert len(wait_until(lambda: sink.mails[1:])) == 1
    assert wait_until(lambda: "accounts-unavailable" in running.process.log_end())


def test_keys_are_fetched_from_the_issuer(gateway: Gateways, sink: Sink, issuer: IssuerServer) -> None:
    def b64(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    key = ed25519.Ed25519PrivateKey.generate()
    public = b64(key.public_key().public_bytes_raw())
    issuer.keys = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public}]}).encode()
    claims = {"iss": "https://issuer.example", "aud": "mail", "exp": time.time() + 600, "email": "ann"}
    head = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "EdDSA"}, claims))
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=MECHANISMS,
        more="[users.tokens]\n"
        f'keys-url = "{issuer.url("/keys")}"\nca-file = "{issuer.ca_file}"\n'
        'issuer = "https://issuer.example"\naudience = "mail"\n',
    )
    wait_until(lambda: issuer.asked)

    def is_let_in() -> bool:  # as soon as the keys have arrived
        return shown(running, f"{head}.{b64(key.sign(head.encode()))}", "XOAUTH2")[0] == 0

    assert wait_until(is_let_in)
    assert shown(running, f"{head}.{b64(key.sign(b'else'))}", "XOAUTH2")[0] != 0
