"""The HTTPS server of the request path: asyncio and httptools, nothing between a request and its answer."""
