"""Images that may be another one tomorrow."""

from __future__ import annotations

from collections.abc import Iterator

from greenlang_secrets.check.documents import Document
from greenlang_secrets.check.findings import Finding

__all__ = ["unpinned"]


def unpinned(document: Document) -> Iterator[Finding]:
    """Yield images without a tag or a digest, and those tagged ``latest``."""
    for key, value in document.value.walk():
        if key not in {"containers", "initContainers", "ephemeralContainers"}:
            continue
        image = value.at("image")
        if not image.text or "@sha256:" in image.text:
            continue
        _, _, tag = image.text.rpartition("/")[2].partition(":")
        if tag in {"", "latest"}:
            yield Finding(
                rule="unpinned_image",
                place=document.place(image.line),
                what=f"the image {image.text} has no digest and no tag that stays",
                fix="Name a version, or better the digest: name@sha256:...",
            )
