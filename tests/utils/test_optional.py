"""Libraries of extras: imported where they are there, and a line with the remedy where not."""

import json

import pytest

from prac.errors import PracError
from prac.utils import needed


def test_a_library_that_is_there_is_returned():
    assert needed("json", "report", "a report") is json


def test_a_library_that_is_missing_is_told_with_the_remedy():
    with pytest.raises(PracError) as caught:
        needed("not_there", "report", "a report")
    assert str(caught.value) == (
        "a report needs not_there, which is not installed: pip install 'prac-lth[report]'"
    )
