"""The objects all contenders sync: discovered templates, as a cluster in use holds them.

A body is about 2.9 KB without ``managedFields``, which is what the mark speaks of. What a server adds
(uid, resourceVersion, managedFields of the two writers) comes on top, and crosses the wire as well.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NAMESPACES", "PLURAL", "SENT", "namespace_of", "template"]

NAMESPACES = 20
PLURAL = "aimservicetemplates"
SENT = "aimctl-bench/sent"
"""Annotation with the time of a change, in ns of the monotonic clock."""

_CONDITIONS = (
    (
        "Discovered",
        "True",
        "ProfilesDiscovered",
        "discovery found 2 model sources of 34359738368 bytes in all",
    ),
    ("Ready", "True", "ProfilesDiscovered", "the template is ready for use"),
    ("Progressing", "False", "Stable", "nothing is in progress"),
    ("Failure", "False", "NoFailure", "nothing has failed"),
)


def namespace_of(number: int) -> str:
    """The namespace of the template of that number."""
    return f"aimctl-bench-{number % NAMESPACES:02d}"


def template(number: int) -> dict[str, Any]:
    """The template of that number, as its writers sent it. Different numbers share labels and most text."""
    metric = ("latency", "throughput")[number % 2]
    model = f"meta-llama-3-8b-instruct-{number % 50}"
    return {
        "apiVersion": "aim.silogen.ai/v1alpha1",
        "kind": "AIMServiceTemplate",
        "metadata": {
            "name": f"llama-3-8b-{metric}-{number:05d}",
            "namespace": namespace_of(number),
            "labels": {"app.kubernetes.io/part-of": "bench", "team": f"team-{number % 7}"},
        },
        "spec": {
            "modelName": model,
            "runtimeConfigName": "default",
            "metric": metric,
            "precision": "fp8",
            "gpuSelector": {"count": 1 + number % 8, "model": "MI300X"},
            "env": [
                {
                    "name": "HF_TOKEN",
                    "valueFrom": {"secretKeyRef": {"name": "huggingface-creds", "key": "token"}},
                }
            ],
            "imagePullSecrets": [{"name": "registry-credentials"}],
        },
        "status": {
            "observedGeneration": 1,
            "status": "Ready",
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "observedGeneration": 1,
                    "lastTransitionTime": "2026-01-02T03:04:05Z",
                }
                for kind, status, reason, message in _CONDITIONS
            ],
            "resolvedImage": {"name": model, "namespace": "", "scope": "Cluster", "kind": "AIMClusterModel"},
            "discovery": {
                "result": {
                    "inputHash": f"{number:08x}" * 4,
                    "jobName": f"discover-llama-3-8b-{metric}-{number:08x}",
                    "finishedAt": "2026-01-02T03:04:05Z",
                }
            },
            "modelSources": [
                {
                    "name": f"meta-llama/Llama-3.1-8B-Instruct-{part}",
                    "source": f"hf://meta-llama/Llama-3.1-8B-Instruct-{part}",
                    "sizeBytes": 17179869184,
                }
                for part in range(2)
            ],
            "profile": {
                "model": "meta-llama/Llama-3.1-8B-Instruct",
                "quantized_model": "amd/Llama-3.1-8B-Instruct-FP8-KV",
                "metadata": {
                    "engine": "vllm",
                    "gpu": "MI300X",
                    "precision": "fp8",
                    "gpu_count": 1 + number % 8,
                    "metric": metric,
                    "type": "optimized",
                },
                "engine_args": {
                    "tensor-parallel-size": 1 + number % 8,
                    "max-model-len": 32768,
                    "gpu-memory-utilization": 0.9,
                    "kv-cache-dtype": "fp8",
                    "swap-space": 64,
                    "max-num-seqs": 256,
                    "max-num-batched-tokens": 131072,
                    "distributed-executor-backend": "mp",
                    "compilation-config": {
                        "full_cuda_graph": True,
                        "cudagraph_capture_sizes": [1, 2, 4, 8, 16, 32],
                    },
                    "no-enable-prefix-caching": None,
                    "disable-log-requests": None,
                    "async-scheduling": None,
                },
                "env_vars": {
                    "VLLM_USE_V1": "1",
                    "HIP_FORCE_DEV_KERNARG": "1",
                    "NCCL_MIN_NCHANNELS": "112",
                    "SAFETENSORS_FAST_GPU": "1",
                    "VLLM_ROCM_USE_AITER": "1",
                    "VLLM_ROCM_USE_AITER_RMSNORM": "0",
                    "PYTORCH_TUNABLEOP_ENABLED": "0",
                    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
                    "VLLM_ROCM_USE_SKINNY_GEMM": "1",
                    "GPU_MAX_HW_QUEUES": "2",
                    "TORCH_BLAS_PREFER_HIPBLASLT": "1",
                    "PYTORCH_ROCM_ARCH": "gfx942",
                    "AITER_JIT_DIR": "/tmp/aiter",
                    "HF_HUB_ENABLE_HF_TRANSFER": "1",
                },
            },
        },
    }
