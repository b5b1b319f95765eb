"""Signal and noise of a log-SNR; what reads stored traces needs no more, and no model library."""

import math

# Pure noise, of which flows start, has an infinite log-SNR, which no axis and no mean can take. It
# is written as the level at which the library's own schedules without terminal signal stand.
PURE_NOISE = -24 * math.log(2)


def levels(log_snr: float, prediction_type: str) -> tuple[float, float]:
    """Signal level alpha and noise level sigma of a log-SNR."""
    if prediction_type == "flow":
        pure = log_snr <= PURE_NOISE
        return (0.0, 1.0) if pure else (_share(log_snr / 2), _share(-log_snr / 2))
    return math.sqrt(_share(log_snr)), math.sqrt(_share(-log_snr))


def _share(logit: float) -> float:
    """Logistic function."""
    return 1 / (1 + math.exp(-logit))
