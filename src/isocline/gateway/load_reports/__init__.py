"""What model servers say of the jobs that they hold: reports as text, no I/O."""

from isocline.gateway.load_reports.numbers import ReportError as ReportError
from isocline.gateway.load_reports.orca import HEADER as HEADER
from isocline.gateway.load_reports.orca import jobs_in_header as jobs_in_header
from isocline.gateway.load_reports.prometheus import SERVERS as SERVERS
from isocline.gateway.load_reports.prometheus import Server as Server
from isocline.gateway.load_reports.prometheus import jobs_in_metrics as jobs_in_metrics
