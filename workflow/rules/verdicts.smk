# A finished study's claims as Markdown, for its user's papers and pages and for the README.


rule write_verdicts:
    input:
        "<results>/tables/claims.tsv",
    output:
        "<results>/tables/claims.md",
    log:
        "<logs>/write_verdicts.log",
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem="1GB",
        runtime="1h",
    params:
        about={"study": config["study"], "confidence": config["statistics"]["confidence"]},
        benchmarks=PATHVARS.apply("<benchmarks>"),
        code=code("statistics.claims_page"),
    script:
        "../scripts/write_verdicts.py"


rule verdicts:
    input:
        rules.write_verdicts.output,
    localrule: True


# For developers, in a clone; without an output it runs whenever it is asked for.
rule publish_verdicts:
    input:
        "<results>/tables/claims.tsv",
    log:
        "<logs>/publish_verdicts.log",
    localrule: True
    conda:
        "../../envs/analyse.yaml"
    params:
        about={"study": config["study"], "confidence": config["statistics"]["confidence"]},
        benchmarks=PATHVARS.apply("<benchmarks>"),
        published=[
            *(f"resources/verdicts/{config['study']}.{form}" for form in ("tsv", "json")),
            "README.md",
        ],
        code=code("statistics.claims_page"),
    script:
        "../scripts/publish_verdicts.py"
