"""What model servers say of the jobs that they hold: reports as text, no I/O."""

from isocline.gateway.workloads.numbers import ReportError as ReportError
from isocline.gateway.workloads.orca import HEADER as HEADER
from isocline.gateway.workloads.orca import jobs_in_header as jobs_in_header
from isocline.gateway.workloads.prometheus import SERVERS as SERVERS
from isocline.gateway.workloads.prometheus import Server as Server
from isocline.gateway.workloads.prometheus import jobs_in_metrics as jobs_in_metrics
