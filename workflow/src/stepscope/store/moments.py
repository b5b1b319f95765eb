"""Mean and spectra of a sampling's final latents, as a file."""

import zipfile

import numpy as np


def write_moments(path: str, mean: np.ndarray, spectra: np.ndarray) -> None:
    """Write a mean (C,) and spectra (y, x, C, C) as npz."""
    with open(path, "wb") as file:  # given a name, numpy would add an ending to it
        np.savez(file, mean=mean, spectra=spectra)


def read_moments(path: str) -> tuple[np.ndarray, np.ndarray]:
    """A stored mean (C,) f8 and spectra (y, x, C, C) c16; a torn file raises ValueError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["mean"], stored["spectra"]
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
        remedy = "Delete the file; Snakemake then makes it again."
        raise ValueError(f"{path}: this is no file of moments ({error}). {remedy}") from error
