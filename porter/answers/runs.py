"""Answers of commands that run or compile something: validate, record, bench, buckets, estimate.

Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from ..estimate.chips import Chip
from ..estimate.exchange import Sizes
from ..estimate.fit import Probe
from ..estimate.outcome import Compiled
from ..estimate.outcome import Verdict as CompilerVerdict
from ..estimate.roofline import Bound
from ..validate.bench.outcome import Side
from ..validate.bench.outcome import Verdict as SideVerdict
from ..validate.budget import Budget, Overrun, StepCost
from ..validate.compare import TensorReport
from ..validate.outcome import Cost, Culprit, Divergence, Fusion, Verdict
from ..validate.sourcemap import Origin


class UpstreamRun(TypedDict):
    """What of upstream ran."""

    spec: str
    revision: str


class HostOnly(TypedDict):
    """A class or function that never sees a tensor of the device."""

    name: str
    reason: str


class GroupRecord(TypedDict):
    """Results, gradients or buffers of a case.

    Ratios are in dB: null where both sides are equal, -1000 for no likeness.
    """

    count: int
    failed: int
    least_db: float | None
    least_variation: str  # of the tensor with the least ratio, "" for the base case
    tensors: list[TensorReport]


class CaseRecord(TypedDict):
    """What one case found."""

    name: str
    verdict: Verdict
    backend: str
    findings: list[str]  # sentences, the most telling first
    draws: int  # of random numbers
    fusions: list[Fusion]  # modules that a kernel for a TPU may stand for
    fitted: int  # tensors of the weights that came from --checkpoint
    groups: dict[str, GroupRecord]
    divergence: Divergence | None  # the first tensor that is not upstream's
    budget: Budget | None
    overruns: list[Overrun]
    costs: list[Cost]
    drift: Origin | None  # the line that makes steps differ
    culprits: list[Culprit]
    bisected: str
    seconds: float


class ValidateAnswer(TypedDict):
    """The port against upstream."""

    upstream: UpstreamRun
    port: str  # the folder of port.json
    device: str
    forms: str
    preset: str
    seed: int
    versions: dict[str, str]  # of packages
    reference: str  # the recording, "" where upstream ran beside the port
    passed: bool
    validated: int  # classes and functions of upstream that a passed case ran
    fused: int  # modules of all cases that a kernel stood for
    not_judged: list[str]
    untaken: list[str]
    edited_by_hand: list[str]
    stopped: str  # what ended the run before its end: Ctrl-C or SIGTERM
    not_validated: list[str]
    unfit: list[HostOnly]  # why inspection made no case of some of these
    host_only: list[HostOnly]
    cases: list[CaseRecord]


class CaseTitle(TypedDict):
    """A case."""

    name: str
    title: str


class CasesAnswer(TypedDict):
    """All cases."""

    cases: list[CaseTitle]


class RecordedCase(TypedDict):
    """What became of a case."""

    name: str
    state: str
    draws: int  # of random numbers
    fitted: int  # tensors of the weights that came from --checkpoint


class RecordAnswer(TypedDict):
    """What was recorded."""

    file: str
    bytes: int
    upstream: UpstreamRun
    device: str
    preset: str
    seed: int
    steps: int
    versions: dict[str, str]  # of packages
    cases: list[RecordedCase]


class Spread(TypedDict):
    """The least and the most seconds of a step after the first."""

    least: float
    most: float


class Ratios(TypedDict):
    """Figures as multiples of the unported side's; null where one is missing or the unported one is 0."""

    first: dict[str, float | None]
    later: dict[str, float | None]


class _NotUnported(TypedDict, total=False):
    ratios: Ratios  # of all sides but the unported one


class SideRecord(_NotUnported):
    """One side's steps, as far as it came. Figures that it did not reach are null."""

    verdict: SideVerdict
    error: str
    where: str  # the line of the error
    findings: list[str]  # how its weights differ from upstream's
    backend: str
    seconds: float  # everything, with import and loading
    first: dict[str, float] | None  # costs of the first step
    later: dict[str, float] | None  # of a step after it
    later_seconds: Spread | None
    steps: list[StepCost]


class BenchedCase(TypedDict):
    """All sides of one case."""

    name: str
    unavailable: str  # why this upstream has no such case
    problem: str  # why there is no work for the sides
    sides: dict[Side, SideRecord]


class BenchAnswer(TypedDict):
    """Upstream as it is and the package, side by side."""

    upstream: UpstreamRun
    port: str  # the folder of port.json
    other: str | None
    preset: str
    steps: int  # after the first
    timeout: float
    versions: dict[str, str]  # of packages
    passed: bool
    cases: list[BenchedCase]


class BucketTotals(TypedDict):
    """What an epoch costs with so many buckets."""

    graphs: int
    batches: int
    frames: int  # computed, padding and filled batches included
    wasted: float  # part of the frames that is padding
    filling: float  # part of the frames that fills batches


class BucketRecord(TypedDict):
    """One shape to compile."""

    above: int  # frames, exclusive
    upto: int  # frames
    frames: int
    tokens: int
    clips: int
    batches: int
    wasted: float
    input_bytes: int
    memory_bytes: int | None


class BucketPlan(BucketTotals):
    """Buckets, and what an epoch costs with them."""

    boundaries: list[int]
    buckets: list[BucketRecord]


class UpstreamPlan(BucketPlan):
    """Those of upstream's own boundaries."""

    too_short: int  # clips that its sampler leaves out
    too_long: int


class BucketsAnswer(TypedDict):
    """Boundaries for a data set, and what they cost."""

    dataset: str
    clips: int
    repeats: int
    left_out: dict[str, list[str]]  # reason → names of clips
    batch_size: int
    replicas: int
    planned: BucketPlan
    upstream: UpstreamPlan
    trade_off: list[BucketTotals]


class CompilerRecord(TypedDict):
    """The packages that hold the compiler."""

    words: str
    named_by_torch_xla: bool | None  # whether torch_xla names them for a TPU machine


class ChipNote(TypedDict):
    """A kernel that a graph has to do without."""

    chip: str
    note: str


class RooflineRecord(TypedDict):
    """A graph below the roof of a chip."""

    compute: float  # seconds for its FLOPs
    memory: float  # seconds for its bytes
    intensity: float  # FLOPs a byte
    seconds: float  # the greater of both
    bound: Bound  # what takes longer
    reach: float  # the part of the chip's peak, 0 to 1, that a graph of this intensity can have


class SaidRecord(TypedDict):
    """What the compiler says of one graph for one chip; what is not known is null."""

    verdict: CompilerVerdict
    error: str
    cached: bool  # said in an earlier run
    needs: int | None  # bytes of HBM
    compiled: Compiled | None
    roofline: RooflineRecord | None


class GraphRecord(TypedDict):
    """One graph."""

    name: str
    unavailable: str  # why this upstream has no such case
    problem: str  # why there is no graph
    bytecode: int | None  # bytes of StableHLO
    moments: int  # bytes that AdamW keeps for its parameters
    notes: list[ChipNote]
    fusions: dict[str, list[Fusion]]  # modules that a kernel may stand for, by chip
    chips: dict[str, SaidRecord]


class FitRecord(TypedDict):
    """The largest batch, or the longest bucket, of one graph on one chip."""

    graph: str
    chip: str
    what: Literal["batch", "frames"]
    at: Sizes  # where the search began
    largest: int | None  # the largest size that fits
    needs: int  # bytes of HBM at that size
    exceeded: int | None  # the next size tried, which does not fit
    unaffected: bool  # whether the graph is the same for all sizes
    probes: list[Probe]
    problem: str  # why the search did not end


class EstimateAnswer(TypedDict):
    """What the TPU compiler says."""

    upstream: UpstreamRun
    port: str  # the folder of port.json
    preset: str
    batch: int
    frames: int
    phonemes: int
    bf16: bool
    timeout: float
    versions: dict[str, str]  # of packages
    compiler: CompilerRecord
    chips: list[Chip]
    passed: bool
    graphs: list[GraphRecord]
    fit: list[FitRecord]
