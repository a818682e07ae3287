"""Prints docs/configuration.md as the man page meetfs.toml(5), in the Markdown of go-md2man.

Usage: configuration_page.py VERSION DATE PAGE

Links become their text. Tables become lists of terms, since their columns do not fit a terminal.
"""

import re
import sys

HEADER = """\
# meetfs.toml 5 "{date}" "meetfs {version}" "File Formats"

# NAME

meetfs.toml - configuration file of meetfs(1)

# DESCRIPTION

"""

FOOTER = """
# SEE ALSO

meetfs(1), meetfs-mount(1), mount.meetfs(8)
"""

LINK = re.compile(r"\[([^][]*)\]\([^()]*\)")

# The last column of a table, if it is a text.
TEXTS = ("meaning", "effect", "the secret is")


def print_row(titles, cells):
    """Prints the first cell as a term, the last one as its text, and the others in parentheses."""
    details = [
        value if value == "required" else f"{title}: {value}"
        for title, value in zip(titles[1:], cells[1:])
        if value and title not in TEXTS
    ]
    if titles[-1] in TEXTS:
        note = f" ({', '.join(details)})" if details else ""
        print(f"{cells[0]}{note}\n: {cells[-1]}\n")
    else:
        print(f"{cells[0]}\n: {'; '.join(details)}\n")


def split_cells(line):
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def print_page(lines):
    is_code = False
    titles = None
    next(lines)  # The title.
    for line in lines:
        if line.startswith("```"):
            is_code = not is_code
            line = "```\n"
        elif not is_code:
            line = LINK.sub(r"\1", line)
        if not is_code and line.startswith("## "):
            line = line.upper()
        if is_code or not line.startswith("|"):
            titles = None
            print(line, end="")
        elif titles is None:
            titles = split_cells(line)
        elif not line.startswith("|---"):
            print_row(titles, split_cells(line))


version, date, page = sys.argv[1:]
print(HEADER.format(version=version, date=date), end="")
with open(page, encoding="utf-8") as lines:
    print_page(lines)
print(FOOTER, end="")
