"""Who is nearest: ranking adapters by direction from the base, how sure that is, and mixing several.

    scores(user, adapters, space)               # what adapters are ranked by
    nearness(readings, adapters, space)         # how near the first is
    confidence(readings, adapters, space)       # probability that the first is the right one, if one of them is
    choose(readings, adapters, space)           # {3: 1.0}, a mixture such as {1: 0.7, 3: 0.4}, or {}: none is near

Directions are compared, not points: an adapter trained on 30 % of a style points where one trained on 90 % does, only
less far. Not here: readings (style/described.py), the cache (cache/catalogue.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from xpert_cli.style.space import Floats, Readings, Space

MOST_MIXED = 3  # adapters
MOST_WEIGHT = 1.0  # sum of mixing coefficients: of writers unlike any adapter, mixtures beyond all of them start worse
CANDIDATES = 6  # best single adapters that a mixture may be made of
NEAR = 0.3  # smallest cosine of an adapter to start from: below it, starting there has not lowered a loss
# Set on tuning rows by benchmarks/certainty.py, which shows them on test rows.
PLACED = 0.05  # variance of where an adapter lies against where its style does, a whitened axis
FITS = 0.05  # tan² of the angle to the first adapter, up to which it is the writer's own
FEWEST = 4  # texts that can show a misfit
LEAST_CEILING = 0.5  # cosine that the right adapter is taken to be able to have, of the fewest and most varied texts
ENOUGH = 10  # texts below which neither nearness nor confidence is sure
FAR = 0.35  # nearness below which none of a cache is near
FEWEST_MEMBERS = 4  # adapters of which a cache's mean is known


@dataclass(frozen=True, eq=False)
class Rest:
    """What is known of a large cache's adapters of which only the nearest were read.

    Attributes:
        mean: (axes,) of all adapters' shifts, those that were read among them.
        cosines: (n,) about the mean, between the writing and places where others lie; nearly.
        counts: (n,) adapters at each of these places.
    """

    mean: Floats
    cosines: Floats
    counts: Floats


def direction_scores(user: Floats, adapters: Floats, precision: Floats) -> Floats:
    """Cosine between the user's and each adapter's shift from the base under the metric `precision`.

    score_i = u'P a_i / sqrt(u'P u * a_i'P a_i)

    Args:
        user: (axes,) shift of the user's writing from the base, in axis units.
        adapters: (adapters, axes) shifts of the adapters, in axis units.
        precision: (axes, axes) P, inverse of the shrunken per-sample correlation pooled within writers.
    Returns:
        (adapters,) in [-1, 1]; 0 for a shift of no length.
    """
    lengths = np.sqrt(np.einsum("ij,jk,ik->i", adapters, precision, adapters) * (user @ precision @ user))
    return np.where(lengths > 0, adapters @ precision @ user / np.where(lengths > 0, lengths, 1.0), 0.0)


def mean_of(adapters: Floats, rest: Rest | None) -> Floats | None:
    """(axes,) mean of a cache's adapters; None where there are few."""
    if rest is not None:
        return rest.mean
    return np.asarray(adapters.mean(axis=0)) if len(adapters) >= FEWEST_MEMBERS else None


def scores(user: Floats, adapters: Floats, space: Space, rest: Rest | None = None) -> Floats:
    """(adapters,) how alike a person and each adapter are: what they are ranked by, in [-1, 1].

    The mean of two cosines, from the base and about the mean of the adapters: the first holds for adapters that show
    their style weakly, the second tells those apart that differ from the base in one way, as all chat writers do.
    Where there are few adapters, only from the base.
    """
    whole = direction_scores(user, adapters, space.precision)
    if (mean := mean_of(adapters, rest)) is None:
        return whole
    return (whole + direction_scores(user - mean, adapters - mean, space.precision)) / 2


def shares(user: Floats, adapters: Floats, row: int, space: Space, rest: Rest | None = None) -> Floats:
    """(axes,) what each axis adds to the score of one of the adapters; they sum to it."""
    whole = space.shares(user, adapters[row])
    if (mean := mean_of(adapters, rest)) is None:
        return whole
    return (whole + space.shares(user - mean, adapters[row] - mean)) / 2


def confidence(
    readings: Readings,
    adapters: Floats,
    space: Space,
    *,
    rest: Rest | None = None,
    projection: float = PLACED,
    texts: float | None = None,
) -> float:
    """Probability that the adapter that is first is the right one, if one of them is; about the cache's mean.

    Each adapter is as likely beforehand, its strength unknown. The shift u of a user whose style is that of adapter i
    lies about t a_i, t >= 0 and free, with variance v in every whitened direction, so that, a_i of unit length,
    P(i) is proportional to exp(max(0, u . a_i)^2 / 2v), the profile likelihood of i.
    v = projection + e + r: e is the squared standard error of the shift, averaged over axes; one more text, as far
    off as texts of one writer are, keeps it from being 0. r is what the first adapter leaves of the shift, noise taken
    out, averaged over the other directions that adapters differ in: where none fits, less is known.

    Args:
        readings: of the user's texts.
        adapters: (adapters, axes) shifts, in axis units.
        texts: how many texts of the usual length the readings amount to (`whole_texts`); by default each is one. The
            readings of a text of three words scatter more than those of a hundred, in proportion.
    """
    inner, members = among(space, adapters, rest)
    shift, errors, units = _whitened(readings, members, inner)
    error = (float((errors**2).mean(axis=1).sum()) + 1) / len(errors) / (texts or len(errors))
    _, left, others = _parts(shift, errors, units, everywhere=rest is not None)
    scale = 2 * (projection + error + left / max(1, others))
    evidence = np.maximum(units @ shift, 0.0) ** 2 / scale
    total = float(np.exp(np.sort(evidence) - evidence.max()).sum())
    if rest is not None:
        margins = np.maximum(rest.cosines, 0.0) ** 2 * float(shift @ shift) / scale - evidence.max()
        total += float((np.exp(np.minimum(margins, 0.0)) * rest.counts).sum())
    return 1 / total


def whole_texts(sizes: Sequence[int], usual: float) -> float:
    """How many texts of `usual` words texts of these words amount to; a longer one is no more than one."""
    return sum(min(1.0, max(size, 1) / usual) for size in sizes)


def misfit(readings: Readings, adapters: Floats, space: Space, rest: Rest | None = None) -> float:
    """How far the writing reliably is from the adapter that is first: tan² of the angle between, noise taken out.

    Measured among the directions that adapters differ in.

    Returns:
        >= 0, infinite if nothing points to any adapter; 0 for texts too few to tell.
    """
    along, left, _ = _parts(*_whitened(readings, adapters, space), everywhere=rest is not None)
    return left / along if along > 0 else float("inf") if len(readings) >= FEWEST else 0.0


def _parts(shift: Floats, errors: Floats, units: Floats, *, everywhere: bool = False) -> tuple[float, float, int]:
    """Squared lengths of a shift along the first adapter and across it, where adapters lie; how many directions across.

    A squared length |m|^2 of a mean over n texts is too long by its noise; the mean product of two different texts is
    not: |m|^2 - sum |x_i - m|^2 / n(n - 1). This is what all split halves give on average, corrected for their length
    (Spearman 1910, Brown 1910). Texts too few to tell leave nothing across.

    Args:
        everywhere: adapters, not all of them given, lie in all directions.
    """
    size, span = np.linalg.eigh(units.T @ units)
    span = span[:, (size > 1e-9 * size.max()) | everywhere]
    best = units[int(np.argmax(units @ shift))]
    pairs = max(1, len(errors) * (len(errors) - 1))
    along = float((best @ shift) ** 2 - ((errors @ best) ** 2).sum() / pairs) if best @ shift > 0 else 0.0
    explained = float(((shift @ span) ** 2).sum() - ((errors @ span) ** 2).sum() / pairs)
    left = max(0.0, explained - max(0.0, along)) if len(errors) >= FEWEST else 0.0
    return along, left, span.shape[1] - 1


def nearness(readings: Readings, adapters: Floats, space: Space, rest: Rest | None = None) -> float:
    """How near the first adapter is, whichever is right: its cosine with the writing over the most that can be.

    About the mean of the cache where it has FEWEST_MEMBERS, for what all its adapters share is near to many. Texts of
    one writer vary, so that a mean u of n of them is nowhere right: sqrt(1 - e / |u|^2) is the cosine that the right
    adapter would have, e the squared standard error of u summed over axes; of few texts, what texts vary by in the
    cache. Where that is small, LEAST_CEILING stands for it, so that noise never looks near.

    Returns:
        0, nothing in common, to 1, all that these texts can show.
    """
    inner, members = among(space, adapters, rest)
    shift, errors, units = _whitened(readings, members, inner)
    length, count = float(shift @ shift), len(errors)
    noise = float((errors**2).sum()) / (count * (count - 1)) if count >= FEWEST else len(shift) / max(1, count)
    along = float((units @ shift).max())
    if along <= 0 or not length:
        return 0.0
    ceiling = np.sqrt(max(LEAST_CEILING**2, 1 - noise / length))
    return float(min(1.0, along / np.sqrt(length) / ceiling))


def among(space: Space, adapters: Floats, rest: Rest | None = None) -> tuple[Space, Floats]:
    """The space and the adapters about the mean of the adapters; from the base where there are few."""
    if (mean := mean_of(adapters, rest)) is None:
        return space, adapters
    return space.around(mean), adapters - mean


def choose(readings: Readings, adapters: Floats, space: Space, rest: Rest | None = None) -> dict[int, float]:
    """Adapters to start from: the first if it fits, else a mixture.

    None if the first is under FAR among the cache's adapters, as enough texts tell, or what was chosen is under NEAR.

    Returns:
        adapter index -> weight.
    """
    shift = space.position(readings)
    several = mean_of(adapters, rest) is not None
    if several and len(readings) >= ENOUGH and nearness(readings, adapters, space, rest) < FAR:
        return {}
    parts = {int(np.argmax(scores(shift, adapters, space, rest))): 1.0}
    if misfit(readings, adapters, space, rest) > FITS:
        parts = mixture(shift, adapters, space.precision) or parts
    aim = np.array(list(parts.values())) @ adapters[list(parts)]
    return parts if direction_scores(shift, aim[None], space.precision)[0] >= NEAR else {}


def _whitened(readings: Readings, adapters: Floats, space: Space) -> tuple[Floats, Floats, Floats]:
    """The user's shift (axes,), each text's part in its error (texts, axes), and the adapters' directions of length 1.

    In coordinates where the metric is the identity. The parts' squares sum to n (n - 1) squared standard errors on an
    axis, also where only some of the n texts tell it.
    """
    root = np.linalg.cholesky(space.precision).T
    known = ~np.isnan(readings.values)
    count, most = np.maximum(2, known.sum(axis=0)), len(readings)
    off = np.where(known, (readings.values - readings.mean) / space.spread, 0.0)
    off *= np.sqrt(most * (most - 1) / (count * (count - 1))) * readings.believed
    units = adapters @ root.T
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    shift = root @ space.position(readings)
    return shift, off @ root.T, np.where(lengths > 0, units / np.where(lengths > 0, lengths, 1.0), 0.0)


def mixture(user: Floats, adapters: Floats, precision: Floats) -> dict[int, float] | None:
    """Mixing coefficients of the two or three adapters that together come nearest to the user's shift.

    For a writer whom no single adapter fits (`misfit`). Least squares under the metric, weights positive and of bounded
    sum, among the CANDIDATES best.

    Returns:
        adapter index -> weight, or None if the nearest single adapter is no further off.
    """
    root = np.linalg.cholesky(precision).T
    order = np.argsort(-direction_scores(user, adapters, precision), kind="stable")[:CANDIDATES]
    best: tuple[float, dict[int, float]] | None = None
    for chosen in _subsets(order):
        weights = _bounded(root @ user, adapters[list(chosen)] @ root.T)
        if (weights <= 0).any():
            continue  # the non-negative optimum lies on a smaller subset
        error = float(np.linalg.norm(root @ (user - weights @ adapters[list(chosen)])))
        if best is None or error < best[0]:
            best = (error, dict(zip(chosen, map(float, weights), strict=True)))
    return best[1] if best and len(best[1]) > 1 else None


def _subsets(order: npt.NDArray[np.intp]) -> list[tuple[int, ...]]:
    return [tuple(map(int, chosen)) for size in range(1, MOST_MIXED + 1) for chosen in combinations(order, size)]


def _bounded(target: Floats, rows: Floats) -> Floats:
    """Least-squares weights of the rows; where they sum to more than MOST_WEIGHT, the best that sum to just that."""
    inverse = np.linalg.pinv(rows @ rows.T)
    weights = inverse @ (rows @ target)
    excess = max(0.0, float(weights.sum()) - MOST_WEIGHT)
    return np.asarray(weights - excess * inverse.sum(axis=1) / inverse.sum())
