"""Metrics pages of all pods from one process, with counters that grow as time passes: it tells the pod by its address.

python pages.py PORT
"""

import asyncio
import sys
import time

REQUESTS_PER_SECOND = 2.0
"""Of one pod, a little more and less from pod to pod, and slowly rising and falling: demand is never quite the same."""
PROMPT_TOKENS, OUTPUT_TOKENS = 200, 100
LABELS = 'engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"'
BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def page(address: str, seconds: float) -> str:
    """seconds: since the pages began."""
    share = 0.75 + int(address.rpartition(".")[2]) % 8 / 16
    answered = REQUESTS_PER_SECOND * share * seconds
    lines = [
        ("gauge", "vllm:num_requests_running", 3.0),
        ("gauge", "vllm:num_requests_waiting", 0.0),
        ("counter", "vllm:request_success_total", answered),
        ("counter", "vllm:prompt_tokens_total", answered * PROMPT_TOKENS),
        ("counter", "vllm:generation_tokens_total", answered * OUTPUT_TOKENS),
    ]
    text = [f"# TYPE {name} {kind}\n{name}{{{LABELS}}} {value}\n" for kind, name, value in lines]
    for name in ("vllm:time_to_first_token_seconds", "vllm:request_time_per_output_token_seconds"):
        text.append(f"# TYPE {name} histogram\n")
        below = [(f"{bound:g}", answered * (index + 1) / len(BUCKETS)) for index, bound in enumerate(BUCKETS)]
        text += [f'{name}_bucket{{{LABELS},le="{bound}"}} {count}\n' for bound, count in [*below, ("+Inf", answered)]]
        text.append(f"{name}_sum{{{LABELS}}} {answered}\n{name}_count{{{LABELS}}} {answered}\n")
    return "".join(text)


class Pages(asyncio.Protocol):
    """As little HTTP/1.1 as a scrape needs: the pages must not be what is measured."""

    began = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._address = transport.get_extra_info("sockname")[0]
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for _ in requests:
            body = page(self._address, time.monotonic() - Pages.began).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % len(body) + body)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Pages, "0.0.0.0", port, backlog=1024)  # noqa: S104
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
