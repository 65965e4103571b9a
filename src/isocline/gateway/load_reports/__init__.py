"""Load reports of model servers, parsed from text without I/O: the number of jobs at a server.

`orca` reads them from responses; `model_servers` reads metrics pages, with `prometheus`.
"""

from isocline.gateway.load_reports.model_servers import PATHS as PATHS
from isocline.gateway.load_reports.model_servers import SERVERS as SERVERS
from isocline.gateway.load_reports.model_servers import Server as Server
from isocline.gateway.load_reports.model_servers import jobs_in_metrics as jobs_in_metrics
from isocline.gateway.load_reports.model_servers import server_of as server_of
from isocline.gateway.load_reports.numbers import ReportError as ReportError
from isocline.gateway.load_reports.orca import HEADER as HEADER
from isocline.gateway.load_reports.orca import jobs_in_header as jobs_in_header
