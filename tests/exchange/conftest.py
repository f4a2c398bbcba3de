"""Decoding in this process, in every test of the exchange."""

import pytest

from jaxdd.data.readers import folders, parquet, tfds
from jaxdd.exchange import pictures
from tests.exchange.cases import decode_here


@pytest.fixture(autouse=True)
def quick_decoding(monkeypatch):
    """Processes that decode take most of a test's time."""
    for module in (folders, parquet, tfds, pictures):
        monkeypatch.setattr(module, "decode_all", decode_here)
