"""The contract of a task: what it loads, what it measures, and where its data come from."""

from attnbench.workload.blocks import asked_by_block as asked_by_block
from attnbench.workload.blocks import block_of_rows as block_of_rows
from attnbench.workload.data import IGNORED as IGNORED
from attnbench.workload.data import Parts as Parts
from attnbench.workload.data import Split as Split
from attnbench.workload.data import hold_out as hold_out
from attnbench.workload.data import majority_share as majority_share
from attnbench.workload.data import take as take
from attnbench.workload.data import unigram_bits as unigram_bits
from attnbench.workload.task import KINDS as KINDS
from attnbench.workload.task import LONGER as LONGER
from attnbench.workload.task import METRICS as METRICS
from attnbench.workload.task import SOURCES as SOURCES
from attnbench.workload.task import Size as Size
from attnbench.workload.task import Task as Task
