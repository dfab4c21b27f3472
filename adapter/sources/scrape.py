"""Fetch one metrics page."""

import aiohttp

PAGE_LIMIT_BYTES = 8 * 1024 * 1024  # a vLLM page is about 100 kB; 8 MB is no metrics page any more
_ACCEPT = {"Accept": "text/plain;version=0.0.4;q=1,text/plain;q=0.5"}


class SourceUnavailable(Exception):
    """A page that could not be had. The next collection tries again.

    reason: one word for counting: timeout, connection, status, too_large or encoding.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def fetch_page(session: aiohttp.ClientSession, url: str, *, timeout_seconds: float = 2.0) -> str:
    """The page's text. Raises SourceUnavailable.

    Redirects are refused: a page is where the targets say, not where a pod points.
    """
    try:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        async with session.get(url, timeout=timeout, headers=_ACCEPT, allow_redirects=False) as response:
            if response.status != 200:
                raise SourceUnavailable("status", f"{url}: status was {response.status}, must be 200")
            page = bytearray()
            async for chunk in response.content.iter_any():
                page += chunk
                if len(page) > PAGE_LIMIT_BYTES:
                    raise SourceUnavailable("too_large", f"{url}: page over {PAGE_LIMIT_BYTES} bytes")
        return page.decode("utf-8")
    except TimeoutError as error:
        raise SourceUnavailable("timeout", f"{url}: no page within {timeout_seconds} s") from error
    except aiohttp.ClientError as error:
        raise SourceUnavailable("connection", f"{url}: {error!r}") from error
    except UnicodeDecodeError as error:
        raise SourceUnavailable("encoding", f"{url}: page is not UTF-8 ({error})") from error
