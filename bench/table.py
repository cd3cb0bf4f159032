"""The one table that a bench prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement beside its floor or yardstick, and what it must not exceed."""

    what: str
    value: float
    unit: str
    against: str = ""
    floor: float | None = None
    limit: float | None = None  # of the ratio where there is a floor and `limits_ratio`, else of the value
    limits_ratio: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def is_met(self) -> bool | None:
        """Whether it keeps its limit; None without one."""
        measured = self.ratio if self.limits_ratio else self.value
        return None if self.limit is None or measured is None else measured <= self.limit


@dataclass(slots=True)
class Table:
    """Rows, each told as it is measured, and printed together at the end."""

    tell: Callable[[str], None] = print
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.tell("  " + "  ".join(cell.strip() for cell in cells(row) if cell.strip()))

    def text(self) -> str:
        head = ("what", "measured", "against", "", "ratio", "at most", "", "")
        lines = [head, *map(cells, self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        left = {0, 2, 6, 7}
        return "\n".join(
            "  ".join(
                cell.ljust(width) if column in left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


def cells(row: Row) -> tuple[str, ...]:
    limit = "" if row.limit is None else f"{row.limit:g}×" if row.limits_ratio else number(row.limit, row.unit)
    verdict = {None: "", True: "ok", False: "MISSED"}[row.is_met]
    return (
        row.what,
        number(row.value, row.unit),
        row.against,
        "" if row.floor is None else number(row.floor, row.unit),
        "" if row.ratio is None else f"{row.ratio:.2f}×",
        limit,
        verdict,
        row.note,
    )


def number(value: float, unit: str) -> str:
    shown = f"{value:.2f}" if unit in ("s", "ms") or unit.startswith("%") else f"{value:,.0f}"
    return f"{shown} {unit}".strip()
