from __future__ import annotations

from hypothesis import settings

# Without a deadline for one example: on a busy machine it fails for no fault of the code.
settings.register_profile("greenlang", deadline=None, print_blob=True)
settings.load_profile("greenlang")
