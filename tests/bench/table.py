"""A table, as text for a terminal and as Markdown."""
import collections

# rows: lists of texts. Columns but for the first ones, those of names, are set to the right.
Table = collections.namedtuple("Table", "title header rows notes names", defaults=((), 1))


def as_text(table):
    lines = [list(map(str, row)) for row in [table.header, *table.rows]]
    widths = [max(map(len, column)) for column in zip(*lines)]

    def line(row):
        cells = [cell.ljust(width) if index < table.names else cell.rjust(width)
                 for index, (cell, width) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()
    return "\n".join([table.title, *map(line, lines), *table.notes])


def as_markdown(table):
    marks = ["---" if index < table.names else "--:" for index in range(len(table.header))]
    lines = [f"| {' | '.join(row)} |" for row in [table.header, marks, *table.rows]]
    notes = ["", *table.notes] if table.notes else []
    return "\n".join([f"## {table.title}", "", *lines, *notes])
