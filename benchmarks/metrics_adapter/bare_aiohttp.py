"""A yardstick: an aiohttp handler that answers a fixed External metric, over the same TLS, with nothing behind it.

python bare_aiohttp.py PORT CERTIFICATE KEY CLIENT_CA
"""

import json
import ssl
import sys

from aiohttp import web


def _item(index: int) -> dict[str, object]:
    labels = {"app": "vllm-000", "fleet": "vllm", "namespace": "llm", "pod": f"vllm-000-{index:02d}"}
    at = "2026-11-21T10:40:00Z"
    return {"metricName": "m", "metricLabels": labels, "timestamp": at, "window": 0, "value": "1000m"}


def main() -> None:
    port, certificate, key, client_ca = sys.argv[1:]
    body = json.dumps({"kind": "ExternalMetricValueList", "metadata": {}, "items": [_item(i) for i in range(10)]})

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.load_verify_locations(client_ca)
    tls.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=tls, access_log=None, print=None)


if __name__ == "__main__":
    main()
