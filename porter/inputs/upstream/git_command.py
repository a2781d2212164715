"""Running git so that nothing but git runs: no hooks, no filters, no pager, no prompts, no one's settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from porter.errors import PortError

_KEPT = (
    *(
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "TEMP",
        "TMP",
        "SYSTEMROOT",
        "USERPROFILE",
        "SSH_AUTH_SOCK",
    ),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
    *(
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ),
)
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "core.quotePath": "false",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # Whoever owns the files, reading them runs nothing: the rest of this table and `environment` see to it.
    "safe.directory": "*",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
}
LOCAL = "none"
"""No transport at all: a partial clone cannot fetch behind our back, in any version of git."""
NETWORK = "https:ssh:file"
"""The transports that an UPSTREAM may name."""


class GitError(Exception):
    """Git ended with an error; the text is its first telling line."""


def run_git(
    *arguments: str,
    at: Path | None = None,
    transports: str = LOCAL,
    settings: Iterable[tuple[str, str]] = (),
    stdin: bytes = b"",
    timeout: float | None = None,
) -> bytes:
    """Standard output of `git ARGUMENTS`, run in folder `at`.

    `timeout` is in seconds. Raises GitError when git fails or takes too long, PortError when there is no git.
    """
    command = ["git", "--no-pager", "--no-optional-locks"]
    for key, value in (*_SETTINGS.items(), *settings):
        command += ["-c", f"{key}={value}"]
    try:
        done = subprocess.run(
            [*command, *arguments],
            cwd=at,
            env=environment(transports),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        if at is not None and not at.is_dir():
            raise GitError(f"{at.name} is not a directory") from error
        raise PortError("git is not installed, or not on PATH, and this upstream needs it") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"no answer within {timeout:.0f} seconds") from error
    except (OSError, ValueError) as error:
        raise GitError(str(error)) from error
    if done.returncode != 0:
        raise GitError(_reason(done.stderr.decode("utf-8", "replace")))
    return done.stdout


def environment(transports: str) -> dict[str, str]:
    """Environment for git: what reaching a server needs, and nothing that could name a program to run."""
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    return kept | {
        "GIT_ALLOW_PROTOCOL": transports,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_PAGER": "cat",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=20",
        "LC_ALL": "C",
    }


def _reason(text: str) -> str:
    """The first line that is no warning or progress (ssh's own where ssh failed), without git's mark."""
    for line in filter(None, map(str.strip, text.splitlines())):
        if not line.casefold().startswith(("warning:", "hint:", "cloning into", "from ")):
            return line.removeprefix("fatal:").removeprefix("error:").strip()
    return "it gave no reason"
