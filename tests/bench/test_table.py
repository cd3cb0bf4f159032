"""The bench's table says what missed its limit."""

from __future__ import annotations

from bench.table import Row, Table


def test_a_row_is_judged_by_its_value_or_by_its_ratio() -> None:
    """The limit is of the ratio only where the row says so."""
    assert Row("x", 3.0, "s", "floor", 2.0, 1.5, limits_ratio=True).is_met is True
    assert Row("x", 3.1, "s", "floor", 2.0, 1.5, limits_ratio=True).is_met is False
    assert Row("x", 3.1, "ms", "yardstick", 0.3, 2.0).is_met is False
    assert Row("x", 3.1, "ms").is_met is None


def test_the_table_lines_up() -> None:
    """Each column starts where its head does."""
    table = Table(tell=lambda _line: None)
    table.add(Row("first index", 1.25, "s", "reading", 1.0, 1.5, limits_ratio=True))
    table.add(Row("list view", 2.5, "ms", "trivial", 0.5, 2.0))
    head, first, second = table.text().splitlines()
    assert head.index("against") == first.index("reading") == second.index("trivial")
    assert "1.25×" in first
    assert second.endswith("MISSED")
