"""The page of operations says what the table of cases says."""

from .page import PAGE, page


def test_the_page_of_operations_is_up_to_date():
    assert PAGE.read_text() == page(), "write: python -m tests.ops.page"
