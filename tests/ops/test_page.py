"""The page of operations matches the table of cases, and NumPy's list."""

from .page import PAGE, operations, section


def test_the_page_of_operations_is_up_to_date():
    text = PAGE.read_text()
    assert text.startswith(operations()), "write: python -m tests.ops.page"
    version = section().partition("\n")[0]
    if version in text:  # another NumPy has other functions
        assert text.endswith(section()), "write: python -m tests.ops.page"
