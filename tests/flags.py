"""Flags of the compiler for all tests and for the processes they start."""

# Level 1 compiles in two thirds of the time and runs at full speed; without the newer
# emitters of fused loops a step compiles in about half of the rest.
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
)
