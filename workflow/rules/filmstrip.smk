# RQ3: one prompt in full, as its pictures, what is read of them, and its clocks, from the parts of its
# batch alone.
STRIP = PLAN.pictured(1, [STUDIED["sampling"]])


use rule plot_rq1_maps_over_time as plot_rq3_filmstrip with:
    input:
        previews=stores("<previews>", STRIP),
        concepts=stores("<part>", STRIP, table="rq3_concepts"),
        emergence=stores("<part>", STRIP, table="rq3_emergence"),
        clocks=table("rq3_clocks"),
    output:
        **figure("rq3_filmstrip", "filmstrip of a prompt"),
    log:
        "<logs>/plot_rq3_filmstrip.log",
    benchmark:
        "<benchmarks>/plot_rq3_filmstrip.jsonl"
    params:
        figure="rq3_filmstrip",
        settings={"records": STRIP, "families": config["probe"]["families"]},
        code=code("figures.filmstrip", "figures.samples", "store.tables", tables=EMERGING),
