"""Smaller models. Pruning is a stage of training (train.smk); this is number formats, and a page
that translates with a model in int8.

Requires: <run>/models/{trained}/seed-{seed}/model.safetensors; for the page, scores of its model and
    of the teacher.
Makes: <run>/models/{trained}.{format}/seed-{seed}/model.safetensors, a model like any other;
    <run>/translate.html.
Steps: quantize -> export.
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


rule export_web:
    """Write a page with a model, for any browser."""
    input:
        unpack(web_page_inputs),
    output:
        ensure("<run>/translate.html", non_empty=True),
    log:
        "<logs>/export_web/translate.log",
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        card=lambda wildcards, input: options(input, "scores", "teacher_scores", "diagnostics"),
        licence=options({"licence": CONFIG.web.licence}, "licence"),
        # A param that takes `input` reruns nothing, and neither does another set of inputs.
        row=str(EXPERIMENT.web_row),
        code=code("export"),
    shell:
        """
        seqkd export {input.model:q} \
            --web {output:q} \
            {params.card:q} \
            {params.licence:q} \
            2>{log:q}
        """
