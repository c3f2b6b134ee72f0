from __future__ import annotations

import hmac
from datetime import UTC, datetime

import greenlang_secrets as gs
from greenlang_secrets import PLATFORM, Principal, SecretType
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue.idempotency import Begun
from greenlang_secrets.catalogue_scan import rebuild
from support.audit_records import event, records
from support.canary import new_canary, shown_in
from support.catalogues import Place


async def test_a_dump_of_the_catalogue_shows_no_value(
    place: Place, secrets: gs.SecretsService, supervisor: Supervisor
) -> None:
    """Neither a value nor custom metadata are in any table, in any disguise; the control: what is
    put there on purpose is found by the same look.
    """
    canary, planted = new_canary(), new_canary()
    await secrets.create(
        "a", {"k": canary}, type=SecretType.API_KEY, custom_metadata={"owner": canary}
    )
    async with Catalogue.open(place.config, supervisor) as catalogue:
        await rebuild(secrets, catalogue.index, PLATFORM)
        fingerprint = hmac.digest(b"k" * 32, canary.encode(), "sha256")
        begun = await catalogue.idempotency.begin(
            PLATFORM, Principal(subject="bob"), "key", fingerprint
        )
        assert isinstance(begun, Begun)
        await catalogue.idempotency.finish(begun, status=201, headers=[], body=b'{"version":1}')
        await catalogue.audit.insert(
            records(event(1, at=datetime.now(UTC), reason=planted, tenant=None))
        )
        assert await catalogue.index.count(PLATFORM) == 1

    dump = await place.dump()

    assert shown_in(dump, canary) is None
    assert shown_in(dump, planted) is not None
