"""Traffic: arrival processes, job sizes, and traces of real requests.

Read `arrivals` and `sizes`, which have the base classes, and `laws` (an arrival process in one
word); `renewal`, `modulated` and `batches` are further processes, `patience` has jobs that give up.
A trace is `trace`, read from a file by `reader`, which uses `table`, `columns` and `rows`.
"""

from isocline.model.traffic.arrivals import Arrivals as Arrivals
from isocline.model.traffic.arrivals import PiecewiseArrivals as PiecewiseArrivals
from isocline.model.traffic.arrivals import PoissonArrivals as PoissonArrivals
from isocline.model.traffic.arrivals import TraceArrivals as TraceArrivals
from isocline.model.traffic.batches import BatchArrivals as BatchArrivals
from isocline.model.traffic.bursty import bursty_trace as bursty_trace
from isocline.model.traffic.columns import FORMATS as FORMATS
from isocline.model.traffic.columns import Columns as Columns
from isocline.model.traffic.laws import LawAt as LawAt
from isocline.model.traffic.laws import arrival_law as arrival_law
from isocline.model.traffic.modulated import MarkovModulatedArrivals as MarkovModulatedArrivals
from isocline.model.traffic.patience import Patience as Patience
from isocline.model.traffic.patience import patience_of as patience_of
from isocline.model.traffic.prompt_blocks import PromptBlocks as PromptBlocks
from isocline.model.traffic.reader import read_trace as read_trace
from isocline.model.traffic.renewal import GammaArrivals as GammaArrivals
from isocline.model.traffic.renewal import WeibullArrivals as WeibullArrivals
from isocline.model.traffic.sizes import DeterministicSizes as DeterministicSizes
from isocline.model.traffic.sizes import ExponentialSizes as ExponentialSizes
from isocline.model.traffic.sizes import HyperexponentialSizes as HyperexponentialSizes
from isocline.model.traffic.sizes import LognormalSizes as LognormalSizes
from isocline.model.traffic.sizes import Sizes as Sizes
from isocline.model.traffic.trace import Mix as Mix
from isocline.model.traffic.trace import Trace as Trace
