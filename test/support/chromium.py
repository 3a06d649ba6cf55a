"""A page in a headless Chromium, driven with the DevTools protocol over a WebSocket.

Only Debian's package ``chromium`` is needed. The browser has an empty profile of its own, and requests nothing but what
a test opens.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["CHROMIUM", "BrowserPage", "open_page"]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
_START_SECONDS = 60
_CALL_SECONDS = 30
_UNTIL_SECONDS = 30
_POLL_SECONDS = 0.1


@final
class BrowserPage:
    """One page.

    Attributes:
        dialogs: the messages of dialogs that scripts have opened. They are closed at once.
        errors: exceptions of scripts, and messages of the console with the level error.
        requests: the URLs of all requests.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(_CALL_SECONDS):
            found = await answer
        assert "error" not in found, (method, found)
        return dict(found["result"])

    async def go(self, url: str) -> None:
        """Open a URL."""
        await self.call("Page.navigate", url=url)

    async def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, (expression, found)
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value. A document that is still being parsed counts as not yet."""
        ready = f"document.readyState === 'loading' ? null : ({expression})"
        try:
            async with asyncio.timeout(_UNTIL_SECONDS):
                while not (value := await self.ask(ready)):  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            text = await self.ask("document.body && document.body.innerText")
            raise AssertionError(f"never true: {expression}; errors: {self.errors}; page: {text}") from None
        return value

    async def type(self, text: str) -> None:
        """Type a text, as the keyboard does."""
        for character in text:
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    async def press(self, key: str, code: int) -> None:
        """Press a key without a character, such as Escape, which has the Windows code 27."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    async def screenshot(self, path: Path) -> None:
        """Write a picture of the window as PNG."""
        found = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))

    async def listen(self) -> None:
        """Receive answers and events, until the connection ends."""
        async for message in self._socket:
            found = message.json()
            params = found.get("params", {})
            match found.get("method"):
                case None:
                    answer = self._answers.pop(found["id"])
                    if not answer.done():
                        answer.set_result(found)
                case "Page.javascriptDialogOpening":
                    self.dialogs.append(params["message"])
                    close = {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                    self._answers[0] = asyncio.get_running_loop().create_future()
                    await self._socket.send_json(close)
                case "Runtime.exceptionThrown":
                    self.errors.append(str(params["exceptionDetails"]))
                case "Log.entryAdded" if params["entry"]["level"] == "error":
                    self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
                case "Network.requestWillBeSent":
                    self.requests.append(params["request"]["url"])
                case _:
                    pass


@asynccontextmanager
async def open_page(*flags: str, width: int = 1280, height: int = 900) -> AsyncIterator[BrowserPage]:
    """Start the browser with an empty page. Certificates are not verified."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--ignore-certificate-errors", "--no-proxy-server",
            "--remote-debugging-port=0", f"--user-data-dir={folder}", f"--window-size={width},{height}",
            *flags, "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with aiohttp.ClientSession() as session:
                address = await _page_address(session, Path(folder) / "DevToolsActivePort", process)
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    page = BrowserPage(socket)
                    listening = asyncio.create_task(page.listen())
                    try:
                        for domain in ("Page", "Runtime", "Log", "Network"):
                            await page.call(f"{domain}.enable")
                        yield page
                    finally:
                        listening.cancel()
                        await asyncio.wait([listening])
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _content(file: Path) -> str:
    return file.read_text() if file.exists() else ""


async def _page_address(
    session: aiohttp.ClientSession, file: Path, process: asyncio.subprocess.Process
) -> str:
    async with asyncio.timeout(_START_SECONDS):
        while "\n" not in (text := await asyncio.to_thread(_content, file)):
            assert process.returncode is None, f"chromium ended with {process.returncode}"
            await asyncio.sleep(_POLL_SECONDS)
        while True:
            async with session.get(f"http://127.0.0.1:{text.splitlines()[0]}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
            await asyncio.sleep(_POLL_SECONDS)
