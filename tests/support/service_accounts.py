"""Service accounts of a cluster that is not there: their tokens, and the TokenReview of them.

The stub says of a token what an API server would: whose it is, and for which audiences; what is
done with the answer is the real auth mount's.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.certificates import self_signed
from support.stub import Asked, stub

API_SERVER = "https://kubernetes.default.svc.cluster.local"


class ServiceAccounts:
    """The cluster's service accounts.

    Attributes:
        settings: of the mount's ``config``, with which it asks the stub.
    """

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._public = self._key.public_key()
        self.settings: dict[str, Any] = {}

    def token(self, namespace: str, name: str, *, audience: str = "vault") -> str:
        """Return a token as the kubelet projects it into a pod."""
        now = int(time.time())
        claims = {
            "iss": API_SERVER,
            "aud": [audience],
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": f"uid-{namespace}-{name}"},
            },
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    @contextmanager
    def reviewed(self, folder: Path) -> Iterator[None]:
        """Answer TokenReviews as long as it is open; certificates are made in `folder`."""
        certificate = self_signed(folder, "kubernetes")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate.cert, certificate.key)
        public = self._public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        with stub(self._review, tls=tls) as server:
            self.settings = {
                "kubernetes_host": server.addr,
                "kubernetes_ca_cert": certificate.cert.read_text(),
                "pem_keys": [public.decode()],
                "disable_local_ca_jwt": True,
                "token_reviewer_jwt": self.token("vault", "vault", audience=API_SERVER),
            }
            yield

    def _review(self, asked: Asked) -> tuple[int, str, bytes]:
        spec = json.loads(asked.body)["spec"]
        asked_for = spec.get("audiences") or [API_SERVER]
        claims = jwt.decode(
            spec["token"], self._public, algorithms=["RS256"], options={"verify_aud": False}
        )
        audiences = [each for each in claims["aud"] if each in asked_for]
        status: dict[str, Any] = {"authenticated": bool(audiences)}
        if audiences:
            status["audiences"] = audiences
            status["user"] = {
                "username": claims["sub"],
                "uid": claims["kubernetes.io"]["serviceaccount"]["uid"],
                "groups": ["system:serviceaccounts"],
            }
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "status": status,
        }
        return 201, "application/json", json.dumps(review).encode()
