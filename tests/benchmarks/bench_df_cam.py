"""DF-CAM for all layers against one forward and backward pass; to cost at most 1.5 times that."""

from stepscope.methods.df_cam import df_cam, df_cam_word
from stepscope.methods.relevance import relevance
from stepscope.methods.word_information import word_information
from support import timing


def main() -> None:
    """Print the cost of the gradient methods in forward and backward passes."""
    denoiser, step = timing.stored_step(timing.load())

    def bare() -> None:
        latents = step.latent[None].to(denoiser.device).requires_grad_()
        denoiser.guided(denoiser.outputs(latents, step)).sum().backward()

    seconds = timing.seconds(
        {
            "forward and backward": bare,
            "df_cam": lambda: df_cam(denoiser, step),
            "df_cam, raw sum": lambda: df_cam(denoiser, step, target="raw_sum"),
            "df_cam_word": lambda: df_cam_word(denoiser, step),
            "relevance": lambda: relevance(denoiser, step),
            "information": lambda: word_information(denoiser, step),
        }
    )
    for name, time in seconds.items():
        ratio = time / seconds["forward and backward"]
        bound = " (at most 1.50)" if name.startswith("df_cam") and "word" not in name else ""
        print(f"{name}: {1000 * time:.0f} ms, {ratio:.2f} of a guided forward and backward{bound}")


if __name__ == "__main__":
    main()
