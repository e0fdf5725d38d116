"""Lets `snakemake` run in a fresh clone: the workflow itself is workflow/Snakefile."""


include: "workflow/Snakefile"


# An included file cannot set the default target (snakemake/snakemake#2773).
workflow.default_target = "all"
