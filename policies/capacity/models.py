"""The models that latency profiles are made for: their shapes, as config.json gives them, and what follows.

Source of each row: the model's config.json on Hugging Face, read through litgpt/config.py (Llama, Qwen2.5),
maxtext's hf_model_configs.py (Gemma 2, Qwen3) and google/gemma_pytorch's config.py (Gemma 7B).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A dense decoder with gated MLPs (three matrices) and grouped-query attention.

    name: as profile names begin. hugging_face: the ids under which people serve it.
    weight_bytes_per_parameter: 2 for bf16 and fp16. The KV cache is 16-bit.
    """

    name: str
    hugging_face: tuple[str, ...]
    layers: int
    hidden_size: int
    attention_heads: int
    kv_heads: int
    head_size: int
    mlp_size: int
    vocabulary: int
    tied_embeddings: bool
    weight_bytes_per_parameter: int = 2

    @property
    def layer_parameters(self) -> int:
        """Of all layers' matrices: what every token is multiplied with. Norms and biases (< 0.02 %) are left out."""
        queries = self.attention_heads * self.head_size
        keys_and_values = 2 * self.kv_heads * self.head_size
        attention = self.hidden_size * (2 * queries + keys_and_values)  # query and output, key and value
        return self.layers * (attention + 3 * self.hidden_size * self.mlp_size)

    @property
    def head_parameters(self) -> int:
        """Of the matrix that turns a hidden state into logits; once per output token, not per prompt token."""
        return self.vocabulary * self.hidden_size

    @property
    def parameters(self) -> int:
        """All of them; tied embeddings share one matrix between the input and the logits."""
        return self.layer_parameters + self.head_parameters * (1 if self.tied_embeddings else 2)

    @property
    def weight_bytes(self) -> int:
        """What the weights take on the GPUs, in all."""
        return self.parameters * self.weight_bytes_per_parameter

    @property
    def streamed_bytes(self) -> int:
        """What one iteration reads: every weight but the input embedding, of which it reads one row a token."""
        return (self.layer_parameters + self.head_parameters) * self.weight_bytes_per_parameter

    @property
    def kv_bytes_per_token(self) -> int:
        """A key and a value of 2 bytes an element, per KV head and layer."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_size

    @property
    def attention_flops(self) -> int:
        """FLOPs of attention per pair of a token and a token of its context: Q.K and the weighted sum of V."""
        return 4 * self.layers * self.attention_heads * self.head_size


MODELS = {
    model.name: model
    for model in (
        Model(
            name="llama-3.1-8b",
            hugging_face=("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
            layers=32,
            hidden_size=4096,
            attention_heads=32,
            kv_heads=8,
            head_size=128,
            mlp_size=14_336,
            vocabulary=128_256,
            tied_embeddings=False,
        ),
        Model(
            name="llama-3.1-70b",
            hugging_face=("meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3.1-70B"),
            layers=80,
            hidden_size=8192,
            attention_heads=64,
            kv_heads=8,
            head_size=128,
            mlp_size=28_672,
            vocabulary=128_256,
            tied_embeddings=False,
        ),
        Model(
            name="llama-2-70b",
            hugging_face=("meta-llama/Llama-2-70b-hf", "meta-llama/Llama-2-70b-chat-hf"),
            layers=80,
            hidden_size=8192,
            attention_heads=64,
            kv_heads=8,
            head_size=128,
            mlp_size=28_672,
            vocabulary=32_000,
            tied_embeddings=False,
        ),
        Model(
            name="qwen2.5-7b",
            hugging_face=("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B"),
            layers=28,
            hidden_size=3584,
            attention_heads=28,
            kv_heads=4,
            head_size=128,
            mlp_size=18_944,
            vocabulary=152_064,
            tied_embeddings=False,
        ),
        Model(
            name="qwen3-14b",
            hugging_face=("Qwen/Qwen3-14B",),
            layers=40,
            hidden_size=5120,
            attention_heads=40,
            kv_heads=8,
            head_size=128,
            mlp_size=17_408,
            vocabulary=151_936,
            tied_embeddings=False,
        ),
        Model(
            name="gemma-7b",
            hugging_face=("google/gemma-7b-it", "google/gemma-7b", "google/gemma-1.1-7b-it"),
            layers=28,
            hidden_size=3072,
            attention_heads=16,
            kv_heads=16,
            head_size=256,
            mlp_size=24_576,
            vocabulary=256_000,
            tied_embeddings=True,
        ),
        Model(
            name="gemma-2-2b",
            hugging_face=("google/gemma-2-2b-it", "google/gemma-2-2b"),
            layers=26,
            hidden_size=2304,
            attention_heads=8,
            kv_heads=4,
            head_size=256,
            mlp_size=9216,
            vocabulary=256_000,
            tied_embeddings=True,
        ),
    )
}


def model_of(name: str) -> Model | None:
    """The model of that short name or Hugging Face id, in any letter case; None if the table has none."""
    wanted = name.casefold()
    for model in MODELS.values():
        if wanted in (model.name, *(known.casefold() for known in model.hugging_face)):
            return model
    return None
