"""A study to be estimated, and what a model of it costs as if it had been measured."""

from stepscope.estimate import trace_size

CONFIG = {
    "scheduler": {"name": "dpmsolver++", "order": 2},
    "storage": {"forward_batch": 8, "derived": "float16", "attention": "mean"},
    "guidance": 4.0,
    "negative_prompt": "",
    "height": None,
    "width": None,
    "datasets": {"scenes": {"trace": "generate"}},
    "samplings": {"uniform": {"kind": "uniform", "steps": 20}},
    "explain": {
        "df_rise": {
            "function": "stepscope.methods.df_rise:df_rise",
            "samplings": ["uniform"],
            "steps": [2, 8, 15],
            "samples": 2,
            "masks": 500,
            "variants": ["paper"],
        }
    },
    "head_games": {
        "samplings": None,
        "roles": None,
        "steps": [2],
        "samples": 1,
        "draws": 2,
        "moves": 7,
    },
    "games": {
        "samplings": None,
        "steps": [2, 8],
        "samples": 3,
        "deletion": ["signal", "zero"],
        "insertion": "blur",
        "others": 1,
        "scores": ["clip_distance", "latent_error"],
        "draws": 1,
        "moves": None,
        "batch": 6,
    },
    "controls": {"samplings": None, "steps": [2], "samples": 2, "kinds": ["cascade", "prompt"]},
    "convergence": {
        "samplings": None,
        "steps": [2, 8],
        "samples": 1,
        "masks": 8192,
        "trials": 4096,
    },
    "nulls": {"samples": 3},
    "linear_probes": {"steps": [1, 5, 9], "samples": 3},
    "contrast": {"samples": 3, "reference": {"steps": 200, "samples": 2}},
    "probe": {"size": 64, "families": {"object": {}, "colour": {}}},
    "commitment": {
        "families": None,
        "every": 5,
        "samples": 1,
        "decided": {"samples": 2, "draws": 3, "prompts": ["empty"]},
        "earliest": {"samples": 3, "pairs": 2},
    },
}
PROMPTS = {
    "scenes": [
        {"prompt": "a red cat", "seeds": [0, 1], "batch": "0", "roles": {}},
        {"prompt": "a dog", "seeds": [0, 1], "batch": "0", "roles": {}},
        {"prompt": "a dog", "seeds": [0], "batch": "1", "roles": {}},
    ]
}
HERE = {"model": "m", "dataset": "scenes", "sampling": "uniform", "batch": "0"}
GEOMETRY = trace_size.Geometry((4, 16, 16), 4, ((16, 16), (8, 8)), 2 * 24 * 32, 1, (6, 8))
MODEL = {  # as if it had been measured
    "dtype": "float16",
    "loading": 0.5,
    "tracing": 0.01,
    "methods": {"df_rise": 0.004},
    "playing": 0.03,
    "decoding": 0.02,
    "judging": 0.003,
    "geometry": GEOMETRY,
}
IMPORTING = 4.0


def plain(denoiser, step):
    """A method that says nothing of its cost."""
