"""Where this machine has a Chromium, or a browser that is made of it."""

import os
import shutil
from pathlib import Path

#: The first two are the same browser without a window, which opens a page in half the time.
NAMES = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser",
         "google-chrome", "chrome", "msedge", "microsoft-edge")  # fmt: skip
#: Where installers put it on macOS and Windows, which do not have it on the PATH.
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"%ProgramFiles%\Google\Chrome\Application\chrome.exe",
    r"%LocalAppData%\Google\Chrome\Application\chrome.exe",
    r"%ProgramFiles(x86)%\Microsoft\Edge\Application\msedge.exe",
)
#: The margin is that of a browser with a window; the shell would fetch pictures from farther below.
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--blink-settings=lazyLoadingImageMarginPx4G=1250,lazyLoadingImageMarginPxUnknown=1250",
         )  # fmt: skip


def find() -> str | None:
    """Path of a Chromium: the one that ``CHROMIUM`` names, one on the PATH, or an installed one.

    Returns:
        None where there is none.
    """
    if named := os.environ.get("CHROMIUM"):
        return named
    on_path = (shutil.which(name) for name in NAMES)
    installed = (path for path in map(os.path.expandvars, PLACES) if Path(path).is_file())
    return next(filter(None, [*on_path, *installed]), None)


def sentence(purpose: str) -> str:
    """What to tell a reader whose machine has none."""
    return (
        f"{purpose} needs a Chromium, and none of {', '.join(NAMES)} was found. Install Chromium, "
        "Chrome or Edge ('sudo apt install chromium' on Debian and Ubuntu), or let CHROMIUM name "
        "its program, then repeat the command."
    )
