# Models from the hub: fetched once at their pinned revision, so that jobs need no network.


rule fetch_model:
    output:
        "<results>/fetched/{entry}.json",
    log:
        "<logs>/fetch_model/{entry}.log",
    wildcard_constraints:
        # the models to explain, the CLIP that reads concepts, and the segmenter
        entry=f"models/({one_of(config['models'])})|probe/model|ground",
    retries: 3
    localrule: True
    conda:
        "../../envs/generate.yaml"
    params:
        model=lookup(dpath="{entry}", within=config),
        code=code("models.hub"),
    script:
        "../scripts/fetch_model.py"
