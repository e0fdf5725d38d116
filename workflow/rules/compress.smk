"""Smaller models. Pruning is a stage of training (train.smk); this is number formats.

Requires: <run>/models/{trained}/seed-{seed}/model.safetensors.
Makes: <run>/models/{trained}.{format}/seed-{seed}/model.safetensors, a model like any other.
Steps: quantize.
"""


rule quantize:
    """Store a model in another number format."""
    input:
        "<run>/models/{trained}/seed-{seed}/model.safetensors",
    output:
        "<run>/models/{trained}.{format}/seed-{seed}/model.safetensors",
    log:
        "<logs>/quantize/{trained}.{format}/seed-{seed}.log",
    wildcard_constraints:
        format=any_of(naming.FORMATS),
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("quantize"),
    shell:
        """
        seqkd quantize \
            --model {input:q} \
            --format {wildcards.format:q} \
            --output {output:q} \
            2>{log:q}
        """
