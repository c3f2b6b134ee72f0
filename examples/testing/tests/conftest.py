import pytest


class Provider:
    """A payment provider that accepts one key."""

    def __init__(self) -> None:
        self.accepted = "first"
        self.charged: list[int] = []

    async def send(self, key: str, cents: int) -> bool:
        if key != self.accepted:
            return False
        self.charged.append(cents)
        return True


@pytest.fixture
def provider() -> Provider:
    return Provider()
