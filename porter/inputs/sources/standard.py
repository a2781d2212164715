"""The names of Python's own packages."""

from __future__ import annotations

import sys

# The second part is gone from newer standard libraries; with it every Python writes the same port.json.
STANDARD = sys.stdlib_module_names | frozenset(
    (
        *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr"),
        *("imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr"),
        *("spwd", "sunau", "telnetlib", "uu", "xdrlib"),
    )
)
