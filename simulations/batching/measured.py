"""Batch profiles of published measurements.

ResNet-50 v1.5, FP16, served by Triton with the ONNX Runtime backend and TensorRT; one client sends batch after batch
("offline scenario"), so the average latency is the time of one batch with its way over the network. Source:
NVIDIA/DeepLearningExamples, PyTorch/Classification/ConvNets/triton/resnet50/README.md (commit 49e23b45).
"""

from simulations.batching.batch_profile import BatchProfile, fitted_profile

_SOURCE = "NVIDIA/DeepLearningExamples ConvNets/triton/resnet50/README.md (49e23b45), offline scenario, average latency"

RESNET50_ON_T4 = ((1, 3.003e-3), (2, 3.998e-3), (4, 5.747e-3), (8, 8.998e-3), (16, 15.113e-3), (32, 28.353e-3))
"""(batch size, seconds of one batch)."""

RESNET50_ON_V100 = ((1, 2.838e-3), (2, 3.350e-3), (4, 4.191e-3), (8, 5.979e-3), (16, 9.266e-3), (32, 15.664e-3))
"""The same on one V100 32 GB of a DGX-1."""

RESNET50_ON_A100 = ((1, 2.128e-3), (2, 2.194e-3), (4, 2.759e-3), (8, 3.895e-3), (16, 5.793e-3), (32, 11.193e-3))
"""The same on one A100 80 GB of a DGX A100: less of a straight line, since small batches do not fill it."""

BATCH_PROFILES: dict[str, BatchProfile] = {
    profile.name: profile
    for profile in (
        fitted_profile("resnet50-fp16-t4", RESNET50_ON_T4, _SOURCE),
        fitted_profile("resnet50-fp16-v100", RESNET50_ON_V100, _SOURCE),
        fitted_profile("resnet50-fp16-a100-80gb", RESNET50_ON_A100, _SOURCE),
    )
}
