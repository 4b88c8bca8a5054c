"""What every test shares."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests import tiny
from tests.browsing import browser, open_page, open_recovering_page  # noqa: F401  (the fixtures that open a page)
from tests.dataset_runs import photos, whole  # noqa: F401  (the fixtures that degrade a folder)
from tests.recovery_runs import recovery_network, recovery_photos  # noqa: F401  (what recovery's tests start from)
from tests.running_app import app, recovering_app, slow_app  # noqa: F401  (the fixtures that start the app)

# A slow machine is no failure: no deadline per example.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    """Eight samples on one of the examples' photos, at the embedded model's resolution."""
    return tiny.samples(tmp_path_factory.mktemp("samples"), size=224, photo=Path("examples/cat.jpg"))
