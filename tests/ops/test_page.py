"""The page of operations matches the table of cases."""

from .page import PAGE, page


def test_the_page_of_operations_is_up_to_date():
    assert PAGE.read_text() == page(), "write: python -m tests.ops.page"
