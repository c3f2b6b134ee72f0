"""Spans of transactions with the catalogue, in both databases."""

from __future__ import annotations

from greenlang_secrets import PLATFORM
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue.config import CatalogueConfig
from support.catalogues import Place
from support.recorded import recorded


async def test_a_transaction_below_a_request_is_a_span(catalogue: Catalogue, place: Place) -> None:
    """With the database's host and nothing else; the catalogue's own have none."""
    config: CatalogueConfig = place.config
    with recorded() as (provider, kept):
        await catalogue.rotations.find(PLATFORM, "hunter2")
        alone = kept.get_finished_spans()
        with provider.get_tracer("test").start_as_current_span("request") as request:
            await catalogue.rotations.find(PLATFORM, "hunter2")

        found, _ = kept.get_finished_spans()

    assert alone == ()
    assert found.name == "catalogue.transaction"
    assert found.parent is not None
    assert found.parent.span_id == request.get_span_context().span_id
    host = config.url.host
    assert dict(found.attributes or {}) == ({} if host is None else {"server.address": host})
